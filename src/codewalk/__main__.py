"""`python -m codewalk` is `codewalk`."""

from codewalk.cli.main import main

main()

"""How an OpenCode server is set up unless it is told otherwise."""

from typing import Final

DEFAULT_PORT: Final = 4096
"""Where `opencode serve` listens without `--port`."""

DEFAULT_USERNAME: Final = "opencode"
"""The user name of a server that was given only a password."""

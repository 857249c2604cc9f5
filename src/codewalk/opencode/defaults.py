"""The defaults of an OpenCode server."""

from typing import Final

DEFAULT_PORT: Final = 4096
"""The port of `opencode serve` without `--port`."""

DEFAULT_USERNAME: Final = "opencode"
"""The user name of a server that has only a password."""

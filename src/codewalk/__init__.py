"""CodeWalk, a client for several OpenCode servers: the names that programs use.

    import asyncio
    import codewalk

    async def names() -> list[str]:
        async with codewalk.open() as app:
            return [server.name for server in app.servers()]

    print(asyncio.run(names()))

`codewalk.App` documents the use cases, `codewalk.errors` what they raise.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from codewalk.app.app import App as App
    from codewalk.app.composition import open_app as open  # noqa: A004 - it reads as `codewalk.open()`
    from codewalk.errors import CodeWalkError as CodeWalkError
    from codewalk.secret import Secret as Secret
    from codewalk.server import Removed as Removed
    from codewalk.server import Server as Server
    from codewalk.servers.draft import Change as Change
    from codewalk.settings import Settings as Settings

__all__ = ["App", "Change", "CodeWalkError", "Removed", "Secret", "Server", "Settings", "open"]
__version__ = "0.1.0"

# Looked up when first used: this module is loaded for every submodule, `codewalk --help` included.
_HOMES: Final = {
    "App": "codewalk.app.app:App",
    "Change": "codewalk.servers.draft:Change",
    "CodeWalkError": "codewalk.errors:CodeWalkError",
    "Removed": "codewalk.server:Removed",
    "Secret": "codewalk.secret:Secret",
    "Server": "codewalk.server:Server",
    "Settings": "codewalk.settings:Settings",
    "open": "codewalk.app.composition:open_app",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(module), attribute)

"""Shell completion for arguments that name a server."""

import re
from typing import TYPE_CHECKING, Final

from codewalk.cli.output import sanitize
from codewalk.settings import Settings

if TYPE_CHECKING:
    from codewalk.server import Server

_SHELL_WORD: Final = re.compile(r"[\w.@+-]+")
"""Labels that need no quotes: bash inserts completions as they are."""

_SHORT_ID_LENGTH: Final = 8


def complete_server(incomplete: str) -> list[tuple[str, str]]:
    """Return the labels that begin with `incomplete`, or else short ids, each with its URL.

    It never fails and never creates a store: a shell asks at any time.
    """
    import asyncio

    try:
        settings = Settings.from_environment()
        if settings.database_url is None and not settings.database_file.exists():
            return []
        servers = asyncio.run(_list_servers(settings))
    except Exception:  # noqa: BLE001 - whatever the cause, there is nothing to complete
        return []
    completions = [(_complete(server), sanitize(server.profile.url)) for server in servers]
    return [completion for completion in completions if completion[0].startswith(incomplete)]


async def _list_servers(settings: Settings) -> "list[Server]":
    from codewalk.app.composition import open_app

    async with open_app(settings) as app:
        return app.servers()


def _complete(server: "Server") -> str:
    label = server.profile.label or ""
    return label if _SHELL_WORD.fullmatch(label) else server.id[:_SHORT_ID_LENGTH]

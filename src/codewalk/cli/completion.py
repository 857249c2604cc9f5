"""What a shell offers for REF."""

import re
from typing import TYPE_CHECKING, Final

from codewalk.cli.output import sanitize
from codewalk.settings import Settings

if TYPE_CHECKING:
    from codewalk.server import Server

_PLAIN: Final = re.compile(r"[\w.@+-]+")
"""Labels that a shell takes as one word as they are; bash gets completions unquoted."""

_SHORT_ID: Final = 8


def complete_server(incomplete: str) -> list[tuple[str, str]]:
    """The labels, or else the short ids, of the servers that fit, each with its URL.

    Never fails, and never makes a store: a shell asks at any time.
    """
    import asyncio

    try:
        settings = Settings.from_environment()
        if settings.database_url is None and not settings.database_file.exists():
            return []
        servers = asyncio.run(_servers(settings))
    except Exception:  # noqa: BLE001 - a completion that fails is no completion, whatever the cause
        return []
    offers = [(_word(server), sanitize(server.profile.url)) for server in servers]
    return [offer for offer in offers if offer[0].startswith(incomplete)]


async def _servers(settings: Settings) -> "list[Server]":
    from codewalk.app.composition import open_app

    async with open_app(settings) as app:
        return app.servers()


def _word(server: "Server") -> str:
    label = server.profile.label or ""
    return label if _PLAIN.fullmatch(label) else server.id[:_SHORT_ID]

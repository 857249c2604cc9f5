"""An app with all three real servers, for each test."""

from collections.abc import AsyncIterator, Sequence

import pytest

from codewalk.app.app import App
from codewalk.app.composition import Parts, open_parts
from codewalk.settings import Settings
from tests.real.servers import RealServer


@pytest.fixture
async def parts(settings: Settings) -> AsyncIterator[Parts]:
    """The parts of a running app: it checks servers by itself."""
    async with open_parts(settings, watch=True) as parts:
        yield parts


@pytest.fixture
async def app(parts: Parts, real_servers: Sequence[RealServer]) -> App:
    """The app with the three servers, each with its own password; the first one is active."""
    app = parts.app
    for server in real_servers:
        await app.add_server(server.url, label=server.release, password=server.password)
    return app

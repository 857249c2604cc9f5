"""The HTTP side of these tests."""

from collections.abc import AsyncIterator

import pytest

from codewalk.opencode.client import Connections
from tests.mock_opencode import MockOpenCode


@pytest.fixture
async def connections() -> AsyncIterator[Connections]:
    async with Connections() as opened:
        yield opened


@pytest.fixture
async def server() -> AsyncIterator[MockOpenCode]:
    async with MockOpenCode() as running:
        yield running

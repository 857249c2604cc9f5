"""The HTTP side of these tests."""

from collections.abc import AsyncIterator

import pytest

from codewalk.opencode.client import OpenCodeClient
from tests.mock_opencode import MockOpenCode


@pytest.fixture
async def client() -> AsyncIterator[OpenCodeClient]:
    async with OpenCodeClient() as opened:
        yield opened


@pytest.fixture
async def server() -> AsyncIterator[MockOpenCode]:
    async with MockOpenCode() as running:
        yield running

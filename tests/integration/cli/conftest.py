"""A data folder and a mock OpenCode server for the commands."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.cli.command import CodeWalk
from tests.mock_opencode import MockOpenCode


@pytest.fixture
def codewalk(tmp_path: Path) -> CodeWalk:
    return CodeWalk(data_dir=tmp_path / "data")


@pytest.fixture
async def server() -> AsyncIterator[MockOpenCode]:
    async with MockOpenCode() as server:
        yield server

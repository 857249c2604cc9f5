"""A running app and commands beside it, while the store is deleted, replaced or emptied."""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.cli.command import CodeWalk, read_until, running
from tests.integration.cli.test_up import HEADLESS, TOKEN, stop

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows deletes no open files")


@pytest.fixture
def mine(codewalk: CodeWalk) -> CodeWalk:
    return replace(codewalk, environment={"CODEWALK_TOKEN": TOKEN})


@asynccontextmanager
async def running_with_server(
    mine: CodeWalk,
) -> AsyncIterator[tuple[asyncio.subprocess.Process, aiohttp.ClientSession]]:
    """The app with the server `first`, and a client of its API; its backup is written."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with running(mine, *HEADLESS) as (process, url):
        api = f"{url.partition('?')[0]}api/v1/"
        async with aiohttp.ClientSession(api, headers=headers) as client:
            assert await add(client, "first") == 201
            yield process, client


async def add(client: aiohttp.ClientSession, label: str) -> int:
    body = {"url": f"http://{label}.invalid", "label": label, "check": False}
    async with client.post("servers", json=body) as answer:
        return answer.status


async def refusal(client: aiohttp.ClientSession) -> str:
    """What the API says to a change that can't be saved."""
    body = {"url": "http://lost.invalid", "check": False}
    async with client.post("servers", json=body) as answer:
        assert answer.status == 503
        problem = await answer.json()
    assert problem["code"] == "storage_error"
    return str(problem["detail"])


async def labels(codewalk: CodeWalk) -> list[str]:
    return [server["label"] for server in (await codewalk("server", "list", "--json")).json]


async def doctor(codewalk: CodeWalk) -> dict[str, Any]:
    report = json.loads((await codewalk("doctor", "--json")).out)
    return {check["name"]: check for check in report["checks"]}


def store(codewalk: CodeWalk, suffix: str = "") -> Path:
    return codewalk.data_dir / f"codewalk.db{suffix}"


def store_files(codewalk: CodeWalk) -> list[Path]:
    return [path for suffix in ("", "-wal", "-shm") if (path := store(codewalk, suffix)).exists()]


def rescued(codewalk: CodeWalk) -> Path:
    (path,) = (codewalk.data_dir / "backups").glob("codewalk-rescued-*.db")
    return path


def delete(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink()


@pytest.mark.parametrize("everything", [False, True])
async def test_nothing_is_acknowledged_after_the_store_was_deleted(
    mine: CodeWalk, everything: bool
) -> None:
    async with running_with_server(mine) as (process, client):
        delete(store_files(mine) if everything else [store(mine)])
        detail = await refusal(client)
        assert f"{store(mine)} was deleted or moved away" in detail
        async with client.get("servers") as answer:
            assert [server["label"] for server in await answer.json()] == ["first"]
        await read_until(process.stderr, "All data of the lost store was copied")

        other = await mine("server", "add", "http://other.invalid", "--no-check", "--json")
        assert other.status == 1
        assert other.error["code"] == "storage_error"
        assert (
            f"{store(mine)} was deleted or moved away while CodeWalk runs"
            in (other.error["message"])
        )
        assert not store(mine).exists()
        checks = await doctor(mine)
        assert not checks["app"]["ok"]
        assert rescued(mine).name in checks["backups"]["detail"]
        await stop(process, signal.SIGTERM)
    delete(store_files(mine))
    shutil.copy(rescued(mine), store(mine))
    assert await labels(mine) == ["first"]


async def test_commands_use_the_backup_that_replaces_the_store(
    mine: CodeWalk, tmp_path: Path
) -> None:
    await mine("server", "add", "http://old.invalid", "--label", "old", "--no-check")
    shutil.copy(store(mine), tmp_path / "backup.db")
    async with running_with_server(mine) as (process, client):
        (tmp_path / "backup.db").replace(store(mine))
        assert "was replaced by another file" in await refusal(client)
        await read_until(process.stderr, "All data of the lost store was copied")
        assert await refusal(client)  # from now on, nothing of the former file is in the way
        assert await labels(mine) == ["old"]
        await mine("server", "add", "http://new.invalid", "--label", "new", "--no-check")
        await stop(process, signal.SIGTERM)
    assert await labels(mine) == ["old", "new"]


async def test_a_backup_that_is_copied_into_the_store_is_noticed_without_a_change(
    mine: CodeWalk, tmp_path: Path
) -> None:
    await mine("server", "add", "http://old.invalid", "--label", "old", "--no-check")
    backup = tmp_path / "backup.db"
    shutil.copy(store(mine), backup)
    async with running_with_server(mine) as (process, client):
        await wait_for_backup(mine)
        await add(client, "second")
        shutil.copy(backup, store(mine))
        line = await read_until(process.stderr, "\n")
        assert "was overwritten by another program" in line
        assert "overwritten" in await refusal(client)
        beside = await mine("server", "list")
        assert beside.status == 1
        assert "codewalk.db-wal belongs to another file" in beside.err
        await stop(process, signal.SIGTERM)
    assert store(mine).read_bytes() == backup.read_bytes()
    assert await labels(mine) == ["old"]


async def wait_for_backup(codewalk: CodeWalk) -> None:
    """Wait until the backup of this start is there."""
    async with asyncio.timeout(20):
        while "codewalk-" not in (await doctor(codewalk))["backups"]["detail"]:
            pass


async def test_an_emptied_store_is_refused_with_the_way_back(mine: CodeWalk) -> None:
    async with running_with_server(mine) as (process, _):
        await wait_for_backup(mine)
        await stop(process, signal.SIGTERM)
    os.truncate(store(mine), 0)
    for arguments in (HEADLESS, ("server", "list")):
        refused = await mine(*arguments)
        assert (refused.status, refused.out) == (1, "")
        assert f"{store(mine)} is empty (0 bytes)" in refused.err
        assert str(mine.data_dir / "backups" / "codewalk-") in refused.err
    assert store(mine).stat().st_size == 0
    checks = await doctor(mine)
    assert not checks["store"]["ok"]
    assert "is empty" in checks["store"]["detail"]


async def test_backups_that_cannot_be_written_do_not_prevent_the_start(mine: CodeWalk) -> None:
    mine.data_dir.mkdir(mode=0o700)
    (mine.data_dir / "backups").touch(mode=0o600)
    async with running_with_server(mine) as (process, client):
        assert "can't be backed up" in await read_until(process.stderr, "\n")
        assert await add(client, "second") == 201
    assert await labels(mine) == ["first", "second"]

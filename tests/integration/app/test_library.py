"""The library: what the README shows works as it stands there."""

import asyncio
import os
import re
import sys
from pathlib import Path

import codewalk
from codewalk.settings import Settings
from tests.mock_opencode import MockOpenCode

README = Path(__file__).parents[3] / "README.md"


async def test_example_of_the_readme_runs(settings: Settings) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    async with MockOpenCode() as server:
        async with codewalk.open(settings) as app:
            await app.add_server(server.url, label="Dev box")
            await app.add_server("http://127.0.0.1:1", label="Cloud", check=False)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            example,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"CODEWALK_DATA_DIR": str(settings.data_dir)},
        )
        shown, _ = await process.communicate()
    assert process.returncode == 0
    assert shown.decode().splitlines() == ["Dev box healthy ok", "Cloud unhealthy refused"]


def test_exported_names_are_there() -> None:
    assert [name for name in codewalk.__all__ if not hasattr(codewalk, name)] == []


async def test_two_apps_live_in_one_process(tmp_path: Path) -> None:
    async with (
        codewalk.open(Settings(data_dir=tmp_path / "one", legacy_preferences=tmp_path)) as one,
        codewalk.open(Settings(data_dir=tmp_path / "two", legacy_preferences=tmp_path)) as two,
    ):
        await one.add_server("box", check=False)
        assert (len(one.servers()), len(two.servers())) == (1, 0)

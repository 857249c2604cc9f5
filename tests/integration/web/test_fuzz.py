"""The API against its own OpenAPI document: whatever is sent, the answer is one it declares."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from codewalk.errors import InvalidURL
from codewalk.servers.url import parse_url
from tests.integration.web.web_app import API, TOKEN, running
from tests.mock_opencode import MockOpenCode

HEADERS: Final = {"Authorization": f"Bearer {TOKEN}"}
EXAMPLES: Final = 100 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 15
"""For each call of the API; about 8 s in all."""


class Served:
    """CodeWalk and one OpenCode server in a thread: the fuzzer isn't asynchronous."""

    def __init__(self, folder: Path) -> None:
        self.url = ""
        self.server = ""
        self.server_id = ""
        self._folder = folder
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="fuzzed CodeWalk")

    def __enter__(self) -> "Served":
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        # Nothing is checked by itself: the fuzzer adds servers that aren't there.
        async with running(self._folder) as web, MockOpenCode() as mock:
            self.url, self.server = web.url, mock.url
            server = await web.app.add_server(f"{mock.url}/kept", check=False)
            self.server_id = server.id
            self._ready.set()
            await self._stop.wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("fuzz")) as served:
        yield served


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(data=strategies.data())
def call(operation: Any, served: Served, data: strategies.DataObject) -> None:
    mode = data.draw(strategies.sampled_from(schemathesis.GenerationMode))
    try:
        cases = operation.as_strategy(generation_mode=mode)
    except NotImplementedError:  # nothing of this call can be wrong
        cases = operation.as_strategy()
    case = data.draw(cases)
    if data.draw(strategies.booleans()):
        _name_a_server(case, served)
    _stay_on_loopback(case, served)
    # A schema can't say what makes a URL or a label good, and 502 is a server's fault, not ours.
    without = [positive_data_acceptance, not_a_server_error]
    answer = case.call_and_validate(headers=HEADERS, excluded_checks=without)
    assert answer.status_code not in {500, 503}, answer.text


def test_every_answer_is_declared(served: Served) -> None:
    address = f"{served.url}{API}/openapi.json"
    schema = schemathesis.openapi.from_url(address, headers=HEADERS, wait_for_schema=5)
    called = []
    for result in schema.get_all_operations():
        operation: Any = result.ok() if isinstance(result, Ok) else pytest.fail(str(result))
        # An event stream has no end, so no answer either.
        if not operation.path.endswith("/events"):
            call(operation, served)
            called.append(operation.label)
    assert len(called) == 22


def _name_a_server(case: Any, served: Served) -> None:
    """Use the id of an existing server wherever the case names one."""
    for place in (case.path_parameters, case.query, case.body):
        for name in ("id", "before", "server_id"):
            if isinstance(place, dict) and name in place:
                place[name] = served.server_id


def _stay_on_loopback(case: Any, served: Served) -> None:
    """Replace each URL that CodeWalk would request by the mock server's; keep refused ones."""
    body = case.body
    if not isinstance(body, dict) or not isinstance(body.get("url"), str):
        return
    try:
        parsed = parse_url(body["url"])
    except InvalidURL:
        return
    # With a prefix that the mock server doesn't know, it is one that isn't OpenCode.
    body["url"] = served.server + ("" if len(parsed.url) % 3 == 0 else f"/p{len(parsed.url)}")

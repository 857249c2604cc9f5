"""One check of one server: every release and every reason."""

from collections.abc import Mapping

import pytest

from codewalk.errors import RequestFailed
from codewalk.health.probe import probe
from codewalk.health.status import CheckResult
from codewalk.reason import Reason
from codewalk.secret import Secret
from tests.fake_time import elapsed, fake_time
from tests.fakes import (
    HEALTHY,
    PATH,
    FakeConnection,
    Reply,
    delayed,
    html_reply,
    json_reply,
    no_reply,
    raw_reply,
    text_reply,
)

BASE = "/global/health"
BROKEN = json_reply({"name": "UnknownError", "data": {"message": "fetch failed"}}, 500)

RELEASES: Mapping[str, tuple[dict[str, Reply], CheckResult]] = {
    # The table of docs/opencode.md, row by row.
    "1.0.0": (
        {BASE: text_reply(404), "/path": PATH},
        CheckResult(reason=Reason.OK, latency_ms=1.5, path_only=True),
    ),
    "1.0.0 offline": (
        {BASE: BROKEN, "/path": BROKEN},
        CheckResult(reason=Reason.SERVER_ERROR),
    ),
    "1.0.61 with an error": (
        {BASE: BROKEN, "/path": PATH},
        CheckResult(reason=Reason.OK, latency_ms=1.5, path_only=True),
    ),
    "1.0.61 hanging": (
        {BASE: no_reply(), "/path": PATH},
        CheckResult(reason=Reason.OK, latency_ms=1.5),
    ),
    "1.0.61 with the web app": (
        {BASE: html_reply(), "/path": PATH},
        CheckResult(reason=Reason.OK, latency_ms=1.5, path_only=True),
    ),
    "1.0.185 slow": (
        {BASE: delayed(4.5, BROKEN), "/path": PATH},
        CheckResult(reason=Reason.OK, latency_ms=1.5),
    ),
    "1.18.33": (
        {BASE: HEALTHY, "/path": PATH},
        CheckResult(reason=Reason.OK, latency_ms=1.5, version="1.18.33"),
    ),
    "1.18.33 just started": (
        {BASE: delayed(0.45, HEALTHY), "/path": delayed(0.5, PATH)},
        CheckResult(reason=Reason.OK, latency_ms=1.5, version="1.18.33"),
    ),
    "2.x with /api/health": (
        {"/api/health": json_reply({"healthy": True, "version": "2.0.1"})},
        CheckResult(reason=Reason.INCOMPATIBLE, version="2.0.1"),
    ),
    "2.x with /api/info": (
        {"/api/health": html_reply(), "/api/info": json_reply({"version": "2.3.0"})},
        CheckResult(reason=Reason.INCOMPATIBLE, version="2.3.0"),
    ),
    "2.x from a checkout": (
        {
            "/api/health": html_reply(),
            "/api/info": json_reply({"version": "unknown", "pid": 7, "urls": [], "paths": {}}),
        },
        CheckResult(reason=Reason.INCOMPATIBLE),
    ),
    "a build of 2.x with the API of 1.x": (
        {BASE: json_reply({"healthy": True, "version": "2.0.0-beta.1"})},
        CheckResult(reason=Reason.OK, latency_ms=1.5, version="2.0.0-beta.1"),
    ),
    "a fork with a version of its own": (
        {BASE: json_reply({"healthy": True, "version": "7.6.2"}), "/path": PATH},
        CheckResult(reason=Reason.OK, latency_ms=1.5, version="7.6.2"),
    ),
    "2.x that doesn't say which": (
        {"/api/health": json_reply({"healthy": True})},
        CheckResult(reason=Reason.INCOMPATIBLE),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("script", "expected"), RELEASES.values(), ids=RELEASES)
@fake_time
async def test_each_release_is_recognised(script: dict[str, Reply], expected: CheckResult) -> None:
    result = await probe(FakeConnection(script))
    assert result.reason is expected.reason
    assert (result.version, result.path_only) == (expected.version, expected.path_only)
    assert result.latency_ms == expected.latency_ms
    assert (result.detail is None) == result.ok
    assert elapsed() < 1


NOT_OPENCODE = {
    "a web page": html_reply(),
    "a web page that says 404": html_reply(404),
    "a JSON list": json_reply([]),
    "a JSON text": json_reply("healthy"),
    "JSON of another kind": json_reply({"status": "ok"}),
    "health that is a word": json_reply({"healthy": "true"}),
    "health that is a number": json_reply({"healthy": 1}),
    "health that is null": json_reply({"healthy": None}),
    "JSON that ends early": raw_reply(b'{"healthy": tr', "application/json"),
    "JSON that isn't UTF-8": raw_reply(b'{"healthy": "\xff"}', "application/json"),
    "JSON nested too deep": raw_reply(b"[" * 30_000 + b"]" * 30_000, "application/json"),
    "nothing": raw_reply(b"", "application/json"),
    "no content": raw_reply(b"", "text/plain", 204),
    "more than 64 KiB": json_reply({"healthy": True, "x": "x" * 65_536}),
    "a redirect to a captive portal": raw_reply(
        b"", "text/html", 302, location="http://portal.example/"
    ),
    "a file that says it is JSON": raw_reply(b"PK\x03\x04", "application/json"),
}


@pytest.mark.parametrize("reply", NOT_OPENCODE.values(), ids=NOT_OPENCODE)
@fake_time
async def test_another_program_is_not_taken_for_opencode(reply: Reply) -> None:
    everywhere = dict.fromkeys((BASE, "/path", "/api/health", "/api/info"), reply)
    result = await probe(FakeConnection(everywhere))
    assert result.reason is Reason.NOT_OPENCODE
    assert (result.detail or "").startswith("This is not an OpenCode server (")
    assert (result.detail or "").endswith(").")
    assert elapsed() == 0  # a definite answer is asked for once


@pytest.mark.parametrize("reply", NOT_OPENCODE.values(), ids=NOT_OPENCODE)
@fake_time
async def test_the_path_of_another_program_does_not_count(reply: Reply) -> None:
    result = await probe(FakeConnection({BASE: text_reply(404), "/path": reply}))
    assert result.reason is Reason.NOT_OPENCODE


@pytest.mark.parametrize(
    ("reply", "observation"),
    [
        (text_reply(404), "fake:4096 answered /path with status 404"),
        (html_reply(), "fake:4096 answered /path with a web page"),
        (json_reply({"status": "ok"}), "it answered /path with other JSON"),
    ],
)
@fake_time
async def test_the_verdict_on_another_program_comes_before_what_was_seen(
    reply: Reply, observation: str
) -> None:
    result = await probe(FakeConnection({BASE: text_reply(404), "/path": reply}))
    assert result.detail == f"This is not an OpenCode server ({observation})."


@fake_time
async def test_a_path_whose_directory_is_no_string_does_not_count() -> None:
    result = await probe(
        FakeConnection({BASE: text_reply(404), "/path": json_reply({"directory": 1})})
    )
    assert result.reason is Reason.NOT_OPENCODE


@pytest.mark.parametrize("status", [401, 403])
@fake_time
async def test_missing_and_wrong_credentials_are_distinguished(status: int) -> None:
    script = {BASE: raw_reply(b"Unauthorized", "text/plain", status), "/path": PATH}
    without = await probe(FakeConnection(script))
    wrong = await probe(FakeConnection(script, password=Secret("wrong")))
    assert without.reason is Reason.AUTH_REQUIRED
    assert wrong.reason is Reason.AUTH_REJECTED


@fake_time
async def test_an_old_release_with_credentials_asks_for_them_at_its_path() -> None:
    script = {BASE: text_reply(404), "/path": raw_reply(b"", "text/plain", 401)}
    assert (await probe(FakeConnection(script))).reason is Reason.AUTH_REQUIRED


@pytest.mark.parametrize("status", [500, 502, 503])
@fake_time
async def test_a_failing_server_or_proxy_is_a_server_error(status: int) -> None:
    everywhere = dict.fromkeys((BASE, "/path"), raw_reply(b"Bad Gateway", "text/html", status))
    assert (await probe(FakeConnection(everywhere))).reason is Reason.SERVER_ERROR


@pytest.mark.parametrize("status", [200, 500, 503])
@pytest.mark.parametrize("path", [PATH, html_reply()], ids=["good path", "web page"])
@fake_time
async def test_a_server_that_reports_itself_unhealthy_is_unhealthy(
    status: int, path: Reply
) -> None:
    ill = json_reply({"healthy": False, "version": "1.18.33"}, status)
    connection = FakeConnection({BASE: ill, "/path": path})
    result = await probe(connection)
    assert (result.reason, result.version) == (Reason.REPORTS_UNHEALTHY, "1.18.33")
    assert result.detail == "The server reports that it isn't healthy."
    assert connection.paths == [BASE]


@fake_time
async def test_a_hostile_version_is_bounded_and_printable() -> None:
    long = await probe(
        FakeConnection({BASE: json_reply({"healthy": True, "version": "1." + "9" * 999})})
    )
    assert long.ok
    assert len(long.version or "") <= 50
    for version in ("1.0\x1b[31m", "1.0\n", 5, None, ["1"]):
        odd = await probe(FakeConnection({BASE: json_reply({"healthy": True, "version": version})}))
        assert (odd.ok, odd.version) == (True, None)


@pytest.mark.parametrize("version", ["²", "٢.0", "1²", "v2.0", "", ".", "9" * 5000])
@fake_time
async def test_a_version_that_is_no_number_breaks_nothing(version: str) -> None:
    result = await probe(FakeConnection({BASE: json_reply({"healthy": True, "version": version})}))
    assert result.reason in (Reason.OK, Reason.INCOMPATIBLE)


@fake_time
async def test_credentials_that_cannot_be_read_count_as_none() -> None:
    unreadable = Reply(failure=RequestFailed(Reason.AUTH_REQUIRED, "Stored under another key."))
    result = await probe(FakeConnection({BASE: unreadable, "/path": unreadable}))
    assert (result.reason, result.detail) == (Reason.AUTH_REQUIRED, "Stored under another key.")


@fake_time
async def test_another_program_with_a_health_page_is_not_taken_for_opencode_2() -> None:
    grafana = json_reply({"database": "ok", "version": "10.0.0", "commit": "bbfd1f4"})
    assert (await probe(FakeConnection({"/api/health": grafana}))).reason is Reason.NOT_OPENCODE

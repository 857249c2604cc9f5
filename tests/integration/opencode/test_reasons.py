"""Each way in which a server can fail, with a reason of its own."""

import asyncio
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from codewalk.health.probe import probe
from codewalk.opencode.client import OpenCodeClient
from codewalk.opencode.connection import RequestFailed
from codewalk.opencode.resolver import Resolver
from codewalk.reason import Reason
from codewalk.secret import Secret
from tests.certificates import server_context, write_certificate
from tests.mock_behaviours import (
    Behaviour,
    close,
    close_in_body,
    deep_json,
    json_reply,
    never,
    page,
    raw,
    redirect,
    reply,
    reset,
)
from tests.mock_opencode import MockOpenCode


@dataclass(frozen=True, kw_only=True)
class Case:
    """A server that does `behaviour`, and what a request to it fails with."""

    name: str
    reason: Reason
    behaviour: Behaviour
    password: str | None = None
    sent: str | None = None


CASES: Final = [
    Case(name="never answers", reason=Reason.TIMEOUT, behaviour=never()),
    Case(name="resets", reason=Reason.UNREACHABLE, behaviour=reset()),
    Case(name="closes", reason=Reason.UNREACHABLE, behaviour=close()),
    Case(name="closes amid", reason=Reason.UNREACHABLE, behaviour=close_in_body()),
    Case(
        name="cuts a chunked body",
        reason=Reason.UNREACHABLE,
        behaviour=raw(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a"'),
    ),
    Case(name="wants a password", reason=Reason.AUTH_REQUIRED, behaviour=page(), password="x"),
    Case(
        name="refuses a password",
        reason=Reason.AUTH_REJECTED,
        behaviour=page(),
        password="x",
        sent="y",
    ),
    Case(name="forbids", reason=Reason.AUTH_REQUIRED, behaviour=page(status=403)),
    Case(name="a page", reason=Reason.NOT_OPENCODE, behaviour=page()),
    Case(name="empty", reason=Reason.NOT_OPENCODE, behaviour=reply()),
    Case(name="cut JSON", reason=Reason.NOT_OPENCODE, behaviour=reply(b'{"healthy": tr')),
    Case(name="too deep", reason=Reason.NOT_OPENCODE, behaviour=deep_json()),
    Case(name="not UTF-8", reason=Reason.NOT_OPENCODE, behaviour=reply(b'{"a": "\xff"}')),
    Case(name="404 page", reason=Reason.NOT_OPENCODE, behaviour=page(status=404)),
    Case(name="304", reason=Reason.NOT_OPENCODE, behaviour=reply(status=304)),
    Case(name="redirects", reason=Reason.NOT_OPENCODE, behaviour=redirect("http://x.invalid/")),
    Case(name="not HTTP", reason=Reason.NOT_OPENCODE, behaviour=raw(b"SSH-2.0-OpenSSH\r\n")),
    Case(name="TLS alert", reason=Reason.TLS, behaviour=raw(b"\x15\x03\x01\0\2\2\x46")),
    Case(name="TLS handshake", reason=Reason.TLS, behaviour=raw(b"\x16\x03\x03\0\x4a\2\0")),
    Case(name="not quite TLS", reason=Reason.NOT_OPENCODE, behaviour=raw(b"\x17\x03\x03\0\2")),
    Case(
        name="nginx's TLS port",
        reason=Reason.TLS,
        behaviour=reply(
            b"<center>The plain HTTP request was sent to HTTPS port</center>", status=400
        ),
    ),
    Case(
        name="Go's TLS port",
        reason=Reason.TLS,
        behaviour=raw(
            b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
        ),
    ),
    Case(
        name="huge header",
        reason=Reason.NOT_OPENCODE,
        behaviour=raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"),
    ),
    Case(
        name="bad gzip",
        reason=Reason.NOT_OPENCODE,
        behaviour=reply(b"not gzip at all", headers={"Content-Encoding": "gzip"}),
    ),
    Case(
        name="unknown encoding",
        reason=Reason.NOT_OPENCODE,
        behaviour=reply(b"\x0b\x02\x80{}\x03", headers={"Content-Encoding": "br"}),
    ),
    Case(name="500", reason=Reason.SERVER_ERROR, behaviour=json_reply({}, status=500)),
    Case(name="502 page", reason=Reason.SERVER_ERROR, behaviour=page(status=502)),
    Case(name="429", reason=Reason.BUSY, behaviour=page(status=429)),
    Case(
        name="503 with a time to retry",
        reason=Reason.BUSY,
        behaviour=reply(status=503, headers={"Retry-After": "30"}),
    ),
    Case(
        name="503 while it starts",
        reason=Reason.BUSY,
        behaviour=json_reply({"data": {"code": "service_starting"}}, status=503),
    ),
    Case(name="404 JSON", reason=Reason.SERVER_ERROR, behaviour=json_reply({}, status=404)),
]

BELOW_HTTP: Final = {Reason.REFUSED, Reason.DNS, Reason.TLS}
"""Reasons with a test of their own below."""

NOT_A_REQUEST_S: Final = {
    Reason.OK,
    Reason.UNCHECKED,
    Reason.INCOMPATIBLE,
    Reason.OFFLINE,
    Reason.REPORTS_UNHEALTHY,
}
"""Reasons that only a check or the monitor can find."""


def test_every_reason_is_covered() -> None:
    covered = {case.reason for case in CASES} | BELOW_HTTP | NOT_A_REQUEST_S
    assert covered == set(Reason)


async def check(case: Case, client: OpenCodeClient) -> None:
    async with MockOpenCode(password=case.password) as server:
        server.script("/path", case.behaviour)
        username = "opencode" if case.sent else None
        password = Secret(case.sent) if case.sent else None
        connection = client.connect(server.url, username, password)
        timeout = 0.2 if case.reason is Reason.TIMEOUT else 10.0
        with pytest.raises(RequestFailed) as caught:
            await connection.get_json("/path", timeout=timeout)
    assert caught.value.reason is case.reason, caught.value.detail
    assert f"127.0.0.1:{server.port}" in caught.value.detail


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_each_failure_has_its_reason(case: Case, client: OpenCodeClient) -> None:
    await check(case, client)


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop isn't made for Windows")
def test_each_failure_has_the_same_reason_on_uvloop() -> None:
    import uvloop

    async def check_all() -> None:
        async with OpenCodeClient() as client:
            for case in CASES:
                await check(case, client)
            for url in ("http://127.0.0.1:1", "http://localhost:1"):
                assert (await reason_of(client, url)).reason is Reason.REFUSED
            async with MockOpenCode() as server:
                failure = await reason_of(client, server.url.replace("http:", "https:"))
            assert failure.reason is Reason.TLS

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(check_all())


async def reason_of(client: OpenCodeClient, url: str, timeout: float = 10.0) -> RequestFailed:
    with pytest.raises(RequestFailed) as caught:
        await client.connect(url).get("/path", timeout=timeout)
    return caught.value


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_port_that_nothing_listens_on_is_refused(client: OpenCodeClient, host: str) -> None:
    async with MockOpenCode() as server:
        pass
    failure = await reason_of(client, f"http://{host}:{server.port}")
    assert failure.reason is Reason.REFUSED


async def test_an_unknown_name_is_a_dns_failure() -> None:
    def lookup(*_: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with OpenCodeClient(resolver=Resolver(lookup=lookup)) as client:
        failure = await reason_of(client, "http://devbox:4096")
    assert failure.reason is Reason.DNS
    assert "devbox" in failure.detail


@contextmanager
def stuck_lookup() -> Iterator[Callable[..., list[Any]]]:
    release = threading.Event()

    def lookup(*_: object) -> list[Any]:
        release.wait(30)
        return []

    try:
        yield lookup
    finally:
        release.set()


async def test_a_name_that_isnt_resolved_in_time_is_a_dns_failure() -> None:
    with stuck_lookup() as lookup:
        async with OpenCodeClient(resolver=Resolver(lookup=lookup)) as client:
            failure = await reason_of(client, "http://devbox:4096", timeout=0.1)
    assert failure.reason is Reason.DNS


async def test_https_to_an_http_server_is_a_tls_failure(
    client: OpenCodeClient, server: MockOpenCode
) -> None:
    failure = await reason_of(client, server.url.replace("http://", "https://"))
    assert failure.reason is Reason.TLS
    assert "http://" in failure.detail


@pytest.mark.parametrize(
    ("host", "days", "trusted", "problem"),
    [
        ("127.0.0.1", 30, False, "self-signed certificate"),
        ("127.0.0.1", -1, True, "expired"),
        ("127.0.0.2", 30, True, "mismatch"),
    ],
)
async def test_an_invalid_certificate_is_a_tls_failure(
    tmp_path: Path, host: str, days: int, trusted: bool, problem: str
) -> None:
    file = write_certificate(tmp_path, host=host, days=days)
    trust = ssl.create_default_context(cafile=str(file) if trusted else None)
    async with (
        MockOpenCode(ssl_context=server_context(file)) as server,
        OpenCodeClient(ssl_context=trust) as client,
    ):
        failure = await reason_of(client, server.url)
    assert failure.reason is Reason.TLS
    assert problem in failure.detail
    assert server.requests == []


async def test_a_valid_certificate_is_accepted(tmp_path: Path) -> None:
    file = write_certificate(tmp_path, host="127.0.0.1", days=30)
    trust = ssl.create_default_context(cafile=str(file))
    async with (
        MockOpenCode(ssl_context=server_context(file)) as server,
        OpenCodeClient(ssl_context=trust) as client,
    ):
        assert await client.connect(server.url).get_json("/path")


async def test_a_check_that_ends_while_the_name_is_resolved_is_a_dns_failure() -> None:
    with stuck_lookup() as lookup:
        async with OpenCodeClient(resolver=Resolver(lookup=lookup)) as client:
            result = await probe(client.connect("http://slow.example:4096"), budget=0.2)
    assert result.reason is Reason.DNS


NOTE: Final = "HTTP_PROXY is set, but CodeWalk uses no proxy"


async def test_a_server_that_is_not_reached_gets_the_note_about_proxies(
    client: OpenCodeClient, server: MockOpenCode
) -> None:
    server.script("/global/health", never())
    server.script("/path", never())
    answers = client.connect(server.url, unreachable_note=NOTE)
    result = await probe(answers, budget=0.2)
    assert result.detail == f"No answer within 0.2 s; {NOTE}."
    nothing = client.connect("http://127.0.0.1:9", unreachable_note=NOTE)
    result = await probe(nothing)
    assert result.detail == f"Nothing listens at 127.0.0.1:9 (connection refused); {NOTE}."
    with stuck_lookup() as lookup:
        async with OpenCodeClient(resolver=Resolver(lookup=lookup)) as stuck:
            named = stuck.connect("http://slow.example:4096", unreachable_note=NOTE)
            result = await probe(named, budget=0.2)
    assert result.detail == f"The server's name wasn't resolved within 0.2 s; {NOTE}."
    server.script("/global/health", page(status=500))
    server.script("/path", page(status=500))
    result = await probe(answers)
    assert result.reason is Reason.SERVER_ERROR
    assert "proxy" not in (result.detail or "")

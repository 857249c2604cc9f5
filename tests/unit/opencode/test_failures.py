"""Every error of the HTTP client has a translation, and the right one."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from math import inf
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import http_exceptions
from aiohttp.client_reqrep import ConnectionKey

from codewalk.errors import RequestFailed
from codewalk.opencode.failures import (
    TRANSLATED_ERRORS,
    parse_retry_after,
    status_failure,
    translate_error,
)
from codewalk.opencode.response import Response
from codewalk.reason import Reason

CONNECTION_KEY: Final = ConnectionKey("box", 4096, False, True, None, None, None)

NO_ROUTE: Final = OSError(errno.EHOSTUNREACH, "No route to host")
REFUSED: Final = OSError(errno.ECONNREFUSED, "Connect call failed")

# What each exception of aiohttp means. One that a new release adds fails the test below until
# somebody has thought about it; those left out of requests for good are named in `NOT_RAISED`.
FAILURES: Final[dict[str, tuple[Reason, Any]]] = {
    "ClientConnectionError": (Reason.UNREACHABLE, ()),
    "ClientConnectionResetError": (Reason.UNREACHABLE, ()),
    "ClientConnectorCertificateError": (Reason.TLS, (CONNECTION_KEY, ssl.CertificateError("bad"))),
    "ClientConnectorDNSError": (Reason.DNS, (CONNECTION_KEY, socket.gaierror(-2, "unknown"))),
    "ClientConnectorError": (Reason.UNREACHABLE, (CONNECTION_KEY, NO_ROUTE)),
    "ClientConnectorSSLError": (Reason.TLS, (CONNECTION_KEY, ssl.SSLError(1, "bad"))),
    "ClientError": (Reason.UNREACHABLE, ()),
    "ClientHttpProxyError": (Reason.NOT_OPENCODE, (None, ())),
    "ClientOSError": (Reason.UNREACHABLE, (errno.ECONNRESET, "reset")),
    "ClientPayloadError": (Reason.UNREACHABLE, ()),
    "ClientProxyConnectionError": (Reason.UNREACHABLE, (CONNECTION_KEY, NO_ROUTE)),
    "ClientResponseError": (Reason.NOT_OPENCODE, (None, ())),
    "ClientSSLError": (Reason.TLS, (CONNECTION_KEY, NO_ROUTE)),
    "ConnectionTimeoutError": (Reason.TIMEOUT, ()),
    "ContentTypeError": (Reason.NOT_OPENCODE, (None, ())),
    "InvalidURL": (Reason.NOT_OPENCODE, ("http:",)),
    "InvalidUrlClientError": (Reason.NOT_OPENCODE, ("http:",)),
    "InvalidUrlRedirectClientError": (Reason.NOT_OPENCODE, ("http:",)),
    "NonHttpUrlClientError": (Reason.NOT_OPENCODE, ("ftp:",)),
    "NonHttpUrlRedirectClientError": (Reason.NOT_OPENCODE, ("ftp:",)),
    "RedirectClientError": (Reason.NOT_OPENCODE, ()),
    "ServerConnectionError": (Reason.UNREACHABLE, ()),
    "ServerDisconnectedError": (Reason.UNREACHABLE, ()),
    "ServerFingerprintMismatch": (Reason.TLS, (b"a", b"b", "box", 4096)),
    "ServerTimeoutError": (Reason.TIMEOUT, ()),
    "SocketTimeoutError": (Reason.TIMEOUT, ()),
    "TooManyRedirects": (Reason.NOT_OPENCODE, (None, ())),
}

NOT_RAISED: Final = {
    "UnixClientConnectorError",  # no Unix sockets are used
    "UploadAbortedError",  # no body is streamed
    "WSServerHandshakeError",  # no WebSockets are used
}


def subclasses(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for sub in kind.__subclasses__():
        yield from subclasses(sub)


CLIENT_ERRORS: Final = {
    kind.__name__: kind
    for kind in subclasses(aiohttp.ClientError)
    if kind.__module__ == "aiohttp.client_exceptions"
}


def reason_of(exc: Exception, *, resolving: bool = False) -> Reason:
    failure = translate_error(exc, host_port="box:4096", timeout=3.0, resolving=resolving)
    assert failure.detail.endswith(".")
    assert failure.message == failure.detail
    return failure.reason


def test_the_table_of_the_client_s_errors_is_complete() -> None:
    assert set(CLIENT_ERRORS) - NOT_RAISED == set(FAILURES)


@pytest.mark.parametrize("name", sorted(FAILURES))
def test_each_error_of_the_client_means_what_the_table_says(name: str) -> None:
    reason, arguments = FAILURES[name]
    exc = CLIENT_ERRORS[name](*arguments)
    assert isinstance(exc, TRANSLATED_ERRORS)
    assert reason_of(exc) is reason


@pytest.mark.parametrize(
    ("exc", "reason"),
    [
        (TimeoutError(), Reason.TIMEOUT),
        (ssl.SSLError(1, "bad"), Reason.TLS),
        (ConnectionResetError(), Reason.UNREACHABLE),
        (BrokenPipeError(), Reason.UNREACHABLE),
        (OSError(errno.ENETDOWN, "down"), Reason.UNREACHABLE),
        (RuntimeError("Connection closed."), Reason.UNREACHABLE),
        (UnicodeEncodeError("latin-1", "ü", 0, 1, "bad"), Reason.NOT_OPENCODE),
        (http_exceptions.BadStatusLine("?"), Reason.NOT_OPENCODE),
        (http_exceptions.TransferEncodingError("?"), Reason.NOT_OPENCODE),
    ],
    ids=repr,
)
def test_errors_of_lower_layers_are_translated_too(exc: Exception, reason: Reason) -> None:
    assert isinstance(exc, TRANSLATED_ERRORS)
    assert reason_of(exc) is reason


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ECONNREFUSED, Reason.REFUSED),
        (errno.ETIMEDOUT, Reason.TIMEOUT),
        (errno.EHOSTUNREACH, Reason.UNREACHABLE),
        (errno.ENETUNREACH, Reason.UNREACHABLE),
        (errno.EMFILE, Reason.UNREACHABLE),
    ],
)
def test_a_connection_that_cant_be_made_has_the_reason_of_its_errno(
    number: int, reason: Reason
) -> None:
    exc = aiohttp.ClientConnectorError(CONNECTION_KEY, OSError(number, "why"))
    assert reason_of(exc) is reason


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EHOSTUNREACH])
def test_too_many_open_connections_are_a_local_fault(number: int) -> None:
    exc = aiohttp.ClientConnectorError(CONNECTION_KEY, OSError(number, "why"))
    failure = translate_error(exc, host_port="a:1", timeout=1.0, resolving=False)
    assert failure.local_fault is (number != errno.EHOSTUNREACH)


def test_several_addresses_count_as_refused_if_one_is() -> None:
    mixed = OSError(f"Multiple exceptions: {NO_ROUTE}, {REFUSED}")
    assert reason_of(aiohttp.ClientConnectorError(CONNECTION_KEY, mixed)) is Reason.REFUSED


def test_a_timeout_while_the_name_is_resolved_is_a_dns_failure() -> None:
    assert reason_of(TimeoutError(), resolving=True) is Reason.DNS


@pytest.mark.parametrize(("timeout", "within"), [(3.0, "within 3 s"), (inf, "in time")])
def test_a_timeout_is_named_where_there_is_one(timeout: float, within: str) -> None:
    failure = translate_error(
        TimeoutError(), host_port="box:4096", timeout=timeout, resolving=False
    )
    assert failure.detail == f"box:4096 didn't answer {within}."


def test_cancellation_is_not_translated() -> None:
    assert not issubclass(asyncio.CancelledError, TRANSLATED_ERRORS)


STARTING = b'{"name":"ServiceUnavailable","data":{"code":"service_starting"}}'


def failure_of(
    status: int,
    *,
    username: str | None = None,
    body: bytes = b"",
    json: bool = False,
    retry_after: str | None = None,
) -> RequestFailed:
    """Return what this status of the response to `/path` means."""
    response = Response(
        status=status,
        content_type="application/json" if json else "text/plain",
        body=body,
        headers={"Retry-After": retry_after} if retry_after else {},
        elapsed_ms=1.0,
    )
    return status_failure(response, path="/path", host_port="box:4096", username=username)


@pytest.mark.parametrize(
    ("status", "sent", "json", "reason"),
    [
        (401, False, False, Reason.AUTH_REQUIRED),
        (403, False, True, Reason.AUTH_REQUIRED),
        (401, True, False, Reason.AUTH_REJECTED),
        (403, True, True, Reason.AUTH_REJECTED),
        (500, True, True, Reason.SERVER_ERROR),
        (502, False, False, Reason.SERVER_ERROR),
        (404, False, True, Reason.SERVER_ERROR),
        (404, False, False, Reason.NOT_OPENCODE),
        (302, False, False, Reason.NOT_OPENCODE),
        (304, False, True, Reason.NOT_OPENCODE),
    ],
)
def test_each_status_means_what_the_table_says(
    status: int, sent: bool, json: bool, reason: Reason
) -> None:
    failure = failure_of(status, username="dev" if sent else None, json=json)
    assert (failure.reason, failure.status) == (reason, status)


def test_a_status_is_named_with_its_path() -> None:
    assert failure_of(404).message == "box:4096 answered /path with status 404."
    assert failure_of(500).message == "box:4096 answered /path with an error (status 500)."


@pytest.mark.parametrize(
    ("host_port", "host"),
    [("devbox:4096", "devbox"), ("devbox.example", "devbox.example")],
)
def test_a_name_that_is_not_resolved_is_named_without_the_port(host_port: str, host: str) -> None:
    exc = CLIENT_ERRORS["ClientConnectorDNSError"](*FAILURES["ClientConnectorDNSError"][1])
    failure = translate_error(exc, host_port=host_port, timeout=3.0, resolving=False)
    assert failure.detail == f"The host name {host} can't be resolved."
    failure = translate_error(TimeoutError(), host_port=host_port, timeout=3.0, resolving=True)
    assert failure.detail == f"The host name {host} wasn't resolved in time."


def test_a_server_that_asks_for_credentials_says_that_none_are_given() -> None:
    detail = "box:4096 asks for a user name and password, and none are given."
    assert failure_of(401).detail == detail


def test_refused_credentials_are_named_by_their_user_name() -> None:
    failure = failure_of(401, username="opencode")
    assert failure.detail == "box:4096 refused the user name 'opencode' or its password."


LIMITED = "limits how often it may be asked (status 429)"


@pytest.mark.parametrize(
    ("status", "retry_after", "body", "detail"),
    [
        (429, "30", b"", LIMITED),
        (429, None, b"", LIMITED),
        (503, "30", b"", "is busy (status 503)"),
        (503, "30", STARTING, "is starting"),
        (503, None, STARTING, "is starting"),
    ],
)
def test_a_busy_server_is_asked_again_when_it_says(
    status: int, retry_after: str | None, body: bytes, detail: str
) -> None:
    failure = failure_of(status, body=body, json=bool(body), retry_after=retry_after)
    seconds = 30 if retry_after else 60
    assert (failure.reason, failure.retry_after) == (Reason.BUSY, seconds)
    assert failure.detail == f"box:4096 {detail}; it is asked again after {seconds} s."


def test_a_server_error_without_a_time_to_retry_is_not_busy() -> None:
    assert failure_of(503, body=b"{}", json=True).reason is Reason.SERVER_ERROR
    assert failure_of(500, retry_after="30").reason is Reason.SERVER_ERROR


NOW = datetime(2026, 11, 30, 16, 3, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30),
        (" 30 ", 30),
        ("0", 1),
        ("3600", 600),
        ("9" * 400, 600),
        ("Mon, 30 Nov 2026 16:04:22 GMT", 70),
        ("Monday, 30-Nov-26 16:05:12 GMT", 120),
        ("Mon Nov 30 16:05:12 2026", 120),
        ("Mon, 30 Nov 2026 15:00:00 GMT", 1),
        ("Tue, 30 Nov 2027 16:03:12 GMT", 600),
        ("", 60),
        ("soon", 60),
        ("-5", 60),
        ("1.5", 60),
        ("٣٠", 60),
        ("Mon, 99 Nov 2026 16:03:12 GMT", 60),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_bounds(value: str, seconds: float) -> None:
    assert parse_retry_after({"Retry-After": value}, NOW) == seconds


def test_a_date_to_retry_at_counts_from_the_clock_of_the_server() -> None:
    headers = {
        "Date": "Fri, 01 Jan 2021 00:00:00 GMT",
        "Retry-After": "Fri, 01 Jan 2021 00:00:40 GMT",
    }
    assert parse_retry_after(headers, NOW) == 40


def test_the_message_says_why_a_certificate_is_not_trusted() -> None:
    cause = ssl.SSLCertVerificationError(1, "certificate verify failed")
    cause.verify_message = "certificate has expired"
    exc = aiohttp.ClientConnectorCertificateError(CONNECTION_KEY, cause)
    failure = translate_error(exc, host_port="box:4096", timeout=3.0, resolving=False)
    assert "certificate has expired" in failure.detail

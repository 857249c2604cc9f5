"""The failures of requests: errors of aiohttp, OpenSSL and the system as `RequestFailed`.

The only place where foreign errors are translated.
"""

import errno
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from math import ceil, inf
from typing import Final

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from codewalk.errors import RequestFailed
from codewalk.opencode.address import describe_location, describe_origin
from codewalk.opencode.error_body import parse_error_words
from codewalk.opencode.gateway import USES_TLS, is_tls_record
from codewalk.opencode.response import Response
from codewalk.reason import CLOSED_WITHOUT_ANSWER, Reason

MIN_RETRY_AFTER: Final = 1.0
MAX_RETRY_AFTER: Final = 600.0
"""The bounds of `Retry-After`, in seconds."""

DEFAULT_RETRY_AFTER: Final = 60.0
"""Seconds until a busy server without a valid `Retry-After` is asked again."""

STARTING_MARK: Final = b'"service_starting"'
"""A value in the JSON with which a launcher answers 503 while its OpenCode server starts."""

TRANSLATED_ERRORS: Final[tuple[type[Exception], ...]] = (
    aiohttp.ClientError,
    HttpProcessingError,
    OSError,  # TimeoutError and ssl.SSLError too
    RuntimeError,  # uvloop's connect, and a stream whose connection went away between two reads
    ValueError,  # a header or URL that can't be parsed
)
"""Whatever aiohttp may raise for a request to a hostile server."""

_TLS_ERRORS: Final = (
    aiohttp.ClientSSLError,
    aiohttp.ClientConnectorCertificateError,
    aiohttp.ServerFingerprintMismatch,
    ssl.SSLError,
)
_INVALID_HTTP_ERRORS: Final = (
    aiohttp.ClientResponseError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
    aiohttp.RedirectClientError,
    HttpProcessingError,
    ValueError,
)


def translate_error(
    exc: Exception, *, host_port: str, timeout: float, resolving: bool
) -> RequestFailed:
    """Return the failure that a foreign error means.

    Args:
        exc: One of `TRANSLATED_ERRORS`.
        host_port: The server's host and port.
        timeout: The seconds that the request had, `inf` without a timeout.
        resolving: Whether the server's name was still being resolved.
    """
    match exc:
        case TimeoutError() if resolving:
            return RequestFailed(
                Reason.DNS, f"The host name {_host(host_port)} wasn't resolved in time."
            )
        case TimeoutError():
            within = "in time" if timeout == inf else f"within {timeout:g} s"
            return RequestFailed(Reason.TIMEOUT, f"{host_port} didn't answer {within}.")
        case aiohttp.ClientConnectorDNSError():
            return RequestFailed(Reason.DNS, f"The host name {_host(host_port)} can't be resolved.")
        case _ if isinstance(exc, _TLS_ERRORS):
            return RequestFailed(Reason.TLS, _describe_tls_error(exc, host_port))
        case aiohttp.ClientConnectorError():
            return _translate_connect_error(exc, host_port)
        case aiohttp.ClientPayloadError():
            return _translate_body_error(exc, host_port)
        case _ if isinstance(exc, _INVALID_HTTP_ERRORS):
            return _translate_invalid_http(exc, host_port)
        case _:
            return RequestFailed(Reason.UNREACHABLE, f"{host_port} {CLOSED_WITHOUT_ANSWER}.")


def _host(host_port: str) -> str:
    return host_port.rpartition(":")[0] or host_port


def _translate_connect_error(exc: aiohttp.ClientConnectorError, host_port: str) -> RequestFailed:
    cause = exc.os_error
    # Where several addresses failed in several ways, the cause is one text without a number.
    refused = cause.errno == errno.ECONNREFUSED or f"[Errno {errno.ECONNREFUSED}]" in str(cause)
    if refused:
        detail = f"Nothing listens at {host_port} (connection refused)."
        return RequestFailed(Reason.REFUSED, detail, connected=False)
    if cause.errno == errno.ETIMEDOUT:
        detail = f"{host_port} didn't accept the connection in time."
        return RequestFailed(Reason.TIMEOUT, detail, connected=False)
    if cause.errno in (errno.EMFILE, errno.ENFILE):
        detail = "CodeWalk has too many connections open (see `ulimit -n`)."
        return RequestFailed(Reason.UNREACHABLE, detail, local_fault=True, connected=False)
    why = f" ({cause.strerror})" if cause.errno and cause.strerror else ""
    detail = f"{host_port} can't be reached{why}."
    return RequestFailed(Reason.UNREACHABLE, detail, connected=False)


def _translate_invalid_http(exc: Exception, host_port: str) -> RequestFailed:
    if isinstance(exc, HttpProcessingError) and is_tls_record(exc.message):
        return RequestFailed(Reason.TLS, USES_TLS.format(host_port=host_port))
    return RequestFailed(Reason.NOT_OPENCODE, f"{host_port} doesn't answer in valid HTTP.")


def _translate_body_error(exc: aiohttp.ClientPayloadError, host_port: str) -> RequestFailed:
    if isinstance(exc.__cause__, HttpProcessingError) and "ncod" in str(exc.__cause__):
        return RequestFailed(
            Reason.NOT_OPENCODE, f"{host_port} sent a response that can't be decoded."
        )
    return RequestFailed(
        Reason.UNREACHABLE, f"{host_port} closed the connection in the middle of its response."
    )


def _describe_tls_error(exc: Exception, host_port: str) -> str:
    cause = getattr(exc, "certificate_error", None) or getattr(exc, "os_error", None) or exc
    # OpenSSL's errors have these two; those that an event loop raises itself don't.
    why = getattr(cause, "verify_message", None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"The TLS certificate of {host_port} isn't trusted{f': {why}' if why else ''}."
    if getattr(cause, "reason", None) == "WRONG_VERSION_NUMBER":
        return f"{host_port} doesn't use TLS; try http:// instead of https://."
    return f"No TLS connection to {host_port} could be made."


def status_failure(
    response: Response, *, path: str, host_port: str, username: str | None
) -> RequestFailed:
    """Return the failure that an HTTP status other than 2xx means.

    Args:
        response: The response.
        path: The path of the request.
        host_port: The server's host and port.
        username: The user name that was sent, None for a request without credentials.
    """
    status = response.status
    # OpenCode's own refusals are JSON.
    is_json = response.content_type == "application/json"
    if status in (401, 403) and username is not None:
        detail = f"{host_port} refused the user name '{username}' or its password."
        return RequestFailed(Reason.AUTH_REJECTED, detail, status=status)
    if status in (401, 403):
        detail = f"{host_port} asks for a user name and password, and none are given."
        return RequestFailed(Reason.AUTH_REQUIRED, detail, status=status)
    starting = is_json and STARTING_MARK in response.body
    has_retry_after = bool(response.headers.get("Retry-After"))
    if status == HTTPStatus.TOO_MANY_REQUESTS or (status == 503 and (has_retry_after or starting)):
        return _busy_failure(response, host_port, starting=starting)
    if status >= 500 or (is_json and status >= 400):
        words = parse_error_words(response.body) if is_json else ""
        said = f": {words}" if words else ""
        detail = f"{host_port} answered {path} with an error (status {status}){said}."
        return RequestFailed(Reason.SERVER_ERROR, detail, status=status)
    detail = f"{host_port} answered {path} with status {status}."
    return RequestFailed(Reason.NOT_OPENCODE, detail, status=status)


def _busy_failure(response: Response, host_port: str, *, starting: bool) -> RequestFailed:
    delay = parse_retry_after(response.headers, datetime.now(UTC))
    if response.status == HTTPStatus.TOO_MANY_REQUESTS:
        what = "limits how often it may be asked (status 429)"
    else:
        what = "is starting" if starting else "is busy (status 503)"
    detail = f"{host_port} {what}; it is asked again after {ceil(delay)} s."
    return RequestFailed(Reason.BUSY, detail, status=response.status, retry_after=delay)


def parse_retry_after(headers: Mapping[str, str], now: datetime) -> float:
    """Return the seconds after which a busy server may be asked again (RFC 9110, 10.2.3).

    A date counts from the response's own `Date`, since the server's clock may be wrong.

    Args:
        headers: The headers of its response.
        now: The time, for a response without a `Date`.

    Returns:
        From `MIN_RETRY_AFTER` to `MAX_RETRY_AFTER`; `DEFAULT_RETRY_AFTER` without a valid value.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdecimal():
        # More digits than this are beyond the limit, and too many for `int`.
        seconds = float(value[:10])
    elif date := _parse_date(value):
        seconds = (date - (_parse_date(headers.get("Date", "")) or now)).total_seconds()
    else:
        seconds = DEFAULT_RETRY_AFTER
    return min(max(seconds, MIN_RETRY_AFTER), MAX_RETRY_AFTER)


def _parse_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def redirect_failure(response: Response, *, host_port: str, same_origin: bool) -> RequestFailed:
    """Return the failure of a redirect that isn't followed.

    Args:
        response: The redirect.
        host_port: The server's host and port.
        same_origin: Whether it leads to the server itself. Then it isn't followed because the
            request was a POST, or because there were too many redirects.
    """
    location = response.location or ""
    if not same_origin:
        detail = f"{host_port} redirects to {describe_origin(location)}, not to itself."
    elif response.method == "POST":
        detail = (
            f"{host_port} redirects a POST to {describe_location(location)} (status "
            f"{response.status}), where it isn't sent again; is the server's URL right?"
        )
    else:
        detail = f"{host_port} redirects too many times, at last to {describe_location(location)}."
    return RequestFailed(Reason.NOT_OPENCODE, detail, status=response.status)

"""What can go wrong with a request, in CodeWalk's words.

The one place where errors of aiohttp, OpenSSL and the operating system become `RequestFailed`.
"""

import errno
import ssl
from math import inf
from typing import Final

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from codewalk.errors import RequestFailed
from codewalk.opencode.address import describe_origin
from codewalk.reason import Reason

TRANSLATED_ERRORS: Final[tuple[type[Exception], ...]] = (
    aiohttp.ClientError,
    HttpProcessingError,
    OSError,  # TimeoutError and ssl.SSLError too
    RuntimeError,  # uvloop's connect, and a stream whose connection went away between two reads
    ValueError,  # a header or URL that can't be read
)
"""What may come out of aiohttp for a request to a hostile server."""

_TLS: Final = (
    aiohttp.ClientSSLError,
    aiohttp.ClientConnectorCertificateError,
    aiohttp.ServerFingerprintMismatch,
    ssl.SSLError,
)
_NOT_HTTP: Final = (
    aiohttp.ClientResponseError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
    aiohttp.RedirectClientError,
    HttpProcessingError,
    ValueError,
)


def translate_error(
    exc: Exception, *, place: str, timeout: float, resolving: bool
) -> RequestFailed:
    """The failure that `exc` means for the server at `place` (its host and port).

    `timeout` is the budget in seconds, `inf` without one; `resolving` tells that its name was
    being looked up.
    """
    match exc:
        case TimeoutError() if resolving:
            return RequestFailed(Reason.DNS, f"The name of {place} wasn't resolved in time.")
        case TimeoutError():
            within = "in time" if timeout == inf else f"within {timeout:g} s"
            return RequestFailed(Reason.TIMEOUT, f"{place} didn't answer {within}.")
        case aiohttp.ClientConnectorDNSError():
            return RequestFailed(Reason.DNS, f"The name of {place} can't be resolved.")
        case _ if isinstance(exc, _TLS):
            return RequestFailed(Reason.TLS, _tls_detail(exc, place))
        case aiohttp.ClientConnectorError():
            return _connect_failed(exc, place)
        case aiohttp.ClientPayloadError():
            return _broken_body(exc, place)
        case _ if isinstance(exc, _NOT_HTTP):
            return RequestFailed(
                Reason.NOT_OPENCODE, f"What answers at {place} doesn't speak HTTP properly."
            )
        case _:
            return RequestFailed(
                Reason.UNREACHABLE, f"{place} closed the connection without an answer."
            )


def _connect_failed(exc: aiohttp.ClientConnectorError, place: str) -> RequestFailed:
    cause = exc.os_error
    # Several addresses that failed in several ways come as one text without a number.
    refused = cause.errno == errno.ECONNREFUSED or f"[Errno {errno.ECONNREFUSED}]" in str(cause)
    if refused:
        return RequestFailed(Reason.REFUSED, f"Nothing listens at {place} (connection refused).")
    if cause.errno == errno.ETIMEDOUT:
        return RequestFailed(Reason.TIMEOUT, f"{place} didn't take the connection in time.")
    if cause.errno in (errno.EMFILE, errno.ENFILE):
        detail = "CodeWalk has too many connections open (see `ulimit -n`)."
        return RequestFailed(Reason.UNREACHABLE, detail, local_fault=True)
    why = f" ({cause.strerror})" if cause.errno and cause.strerror else ""
    return RequestFailed(Reason.UNREACHABLE, f"{place} can't be reached{why}.")


def _broken_body(exc: aiohttp.ClientPayloadError, place: str) -> RequestFailed:
    if isinstance(exc.__cause__, HttpProcessingError) and "ncod" in str(exc.__cause__):
        return RequestFailed(Reason.NOT_OPENCODE, f"{place} sent an answer that can't be decoded.")
    return RequestFailed(Reason.UNREACHABLE, f"{place} broke off in the middle of its answer.")


def _tls_detail(exc: Exception, place: str) -> str:
    cause = getattr(exc, "certificate_error", None) or getattr(exc, "os_error", None) or exc
    # OpenSSL's errors have these two; those that an event loop raises itself don't.
    why = getattr(cause, "verify_message", None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"The TLS certificate of {place} isn't trusted{f': {why}' if why else ''}."
    if getattr(cause, "reason", None) == "WRONG_VERSION_NUMBER":
        return f"{place} doesn't speak TLS; try http:// instead of https://."
    return f"No TLS connection to {place} could be made."


def status_failure(status: int, *, path: str, place: str, sent: bool, json: bool) -> RequestFailed:
    """The failure that an HTTP status other than 2xx means.

    `sent` tells whether credentials went along, `json` whether the answer is JSON, as OpenCode's
    own refusals are.
    """
    if status in (401, 403) and sent:
        detail = f"{place} refused the user name or password."
        return RequestFailed(Reason.AUTH_REJECTED, detail, status=status)
    if status in (401, 403):
        detail = f"{place} asks for a user name and password."
        return RequestFailed(Reason.AUTH_REQUIRED, detail, status=status)
    detail = f"{place} make_response {path} with status {status}."
    if status >= 500 or (json and status >= 400):
        return RequestFailed(Reason.SERVER_ERROR, detail, status=status)
    return RequestFailed(Reason.NOT_OPENCODE, detail, status=status)


def redirect_failure(status: int, location: str, *, place: str, endless: bool) -> RequestFailed:
    """The failure that a redirect means: away from the server, or, if `endless`, without end."""
    detail = f"{place} redirects to {describe_origin(location)}, not to itself."
    if endless:
        detail = f"{place} redirects without end."
    return RequestFailed(Reason.NOT_OPENCODE, detail, status=status)

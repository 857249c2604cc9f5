"""The requests of one check.

The releases differ (see docs/opencode.md for the table): `/global/health` is JSON from 1.1 on, but
404, an error, a web page or no response before, where `/path` tells. Status 200 proves nothing,
since current releases answer unknown paths with a web page: only the JSON's shape counts.
"""

import asyncio
from dataclasses import replace
from http import HTTPStatus
from math import inf
from typing import TYPE_CHECKING, Any, Final

from codewalk.errors import RequestFailed
from codewalk.health.status import CheckResult
from codewalk.reason import TRANSPORT_FAILURES, Reason
from codewalk.servers.health_check import DEFAULT_SETTINGS
from codewalk.tasks import InterruptibleBlock

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection
    from codewalk.opencode.response import Response

DEFAULT_BUDGET: Final = DEFAULT_SETTINGS.timeout
"""Seconds for a whole probe, retries and fallback included."""

FALLBACK_DELAY: Final = 0.3
"""Seconds without a response from `/global/health` until `/path` is requested beside it."""

RETRY_DELAYS: Final = (0.1, 0.2)
"""Seconds before each retry of a request that failed below HTTP, to a server that was healthy."""

_NO_TIMEOUT: Final = inf
"""A request has no timeout of its own: the budget of the probe ends it."""

MAX_BODY: Final = 64 * 1024
"""Bytes of a response."""

HEALTH_ENDPOINT: Final = "/global/health"
PATH_ENDPOINT: Final = "/path"
_VERSION_2_ENDPOINTS: Final = ("/api/health", "/api/info")

_REFUSALS: Final = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}
)
"""Statuses that decide alone, whatever the body says."""

_NOT_OPENCODE: Final = "This is not an OpenCode server ({observation})."
"""The detail of a check: its verdict, then what was seen. What a single request found is no
verdict: an OpenCode server answers an unknown path with a web page."""


class _Request:
    """A request with its retries; `failures` counts the failed attempts while it is in flight."""

    def __init__(self, connection: "Connection", path: str, *, retry: bool) -> None:
        self.connection = connection
        self.path = path
        self.retry = retry
        self.failures = 0

    async def send(self) -> CheckResult:
        delays = RETRY_DELAYS if self.retry else ()
        for delay in (*delays, None):
            try:
                response = await self.connection.get(self.path, timeout=_NO_TIMEOUT, limit=MAX_BODY)
                if not response.ok and self.path == HEALTH_ENDPOINT:
                    unhealthy = await _reports_unhealthy(response)
                    if unhealthy:
                        return unhealthy
                body = await self.connection.read_json(self.path, response)
                return _evaluate(self.path, response, body)
            except RequestFailed as failure:
                if failure.local_fault:
                    return CheckResult(reason=Reason.UNCHECKED, detail=failure.detail)
                result = _failed(failure)
                if delay is None or not _is_retryable(failure.reason):
                    return result
            self.failures += 1
            await asyncio.sleep(delay)
        raise AssertionError("the last attempt returns")


class _Fallback:
    """The request of `/path` beside one of `/global/health` that is slow.

    The probe waits for `/global/health` itself; if `/path` has a good response before that has
    one, it ends the probe. So a server that responds at once, as nearly all do, costs one task and
    one timer. Without a `delay` the two are never in flight together. With a `earlier_result`, that
    of a request before the one of `/global/health`, `/path` isn't requested again.
    """

    def __init__(
        self,
        health: _Request,
        group: asyncio.TaskGroup,
        budget: InterruptibleBlock,
        delay: float | None,
        earlier_result: CheckResult | None,
    ) -> None:
        self._earlier_result = earlier_result
        self.task: asyncio.Task[CheckResult] | None = None
        self._health = health
        self._group = group
        self._budget = budget
        self._timer: asyncio.TimerHandle | None = None
        if delay is not None and earlier_result is None:
            self._timer = asyncio.get_running_loop().call_later(delay, self._start)

    def cancel(self) -> None:
        self._stop_timer()
        if self.task:
            self.task.cancel()

    async def result(self) -> CheckResult:
        """Return the result of `/path`, which is requested now if it wasn't before."""
        self._stop_timer()
        if self.task:
            self.task.remove_done_callback(self._on_done)
            return await self.task
        if self._earlier_result:
            return self._earlier_result
        return await self._path_request().send()

    def good_result(self) -> CheckResult | None:
        """Return the good result that came while `/global/health` was slow, None without one."""
        if self.task and self.task.done() and not self.task.cancelled() and self.task.result().ok:
            # It is only slow: this may be a release that has it.
            return replace(self.task.result(), path_only=False)
        return None

    def _start(self) -> None:
        # While `/global/health` is being retried, another path would only double the failures.
        if not self._health.failures:
            request = self._path_request()
            self.task = self._group.create_task(request.send(), name="probe path")
            self.task.add_done_callback(self._on_done)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _path_request(self) -> _Request:
        return _Request(self._health.connection, PATH_ENDPOINT, retry=self._health.retry)

    def _on_done(self, _: object) -> None:
        if self.good_result():
            self._budget.interrupt()


async def probe(
    connection: "Connection",
    *,
    budget: float = DEFAULT_BUDGET,
    timeout: float | None = None,
    path_first: bool = False,
    path_delay: float | None = FALLBACK_DELAY,
    retry: bool = True,
    recognize_version_2: bool = True,
) -> CheckResult:
    """Check one server. Never raises for what the server does.

    Args:
        connection: The connection to the server.
        budget: Seconds for all requests together.
        timeout: Seconds that the result of a timeout names, where the check began before the
            probe; by default `budget`.
        path_first: Request `/path` first, for a server whose last result was `path_only`.
        path_delay: Seconds without a response from `/global/health` until `/path` is requested
            beside it; None requests it only afterwards.
        retry: Whether a request that fails below HTTP is sent again, after each of `RETRY_DELAYS`.
        recognize_version_2: Whether to ask what isn't OpenCode 1 whether it is OpenCode 2.
    """
    fallback = result = path_result = None
    try:
        async with InterruptibleBlock(budget) as block, asyncio.TaskGroup() as group:
            if path_first:
                path_result = await _Request(connection, PATH_ENDPOINT, retry=retry).send()
                if _is_final(path_result):
                    return path_result
            health = _Request(connection, HEALTH_ENDPOINT, retry=retry)
            fallback = _Fallback(health, group, block, path_delay, path_result)
            result = await _health_then_path(health, fallback)
            if result.reason is Reason.NOT_OPENCODE and recognize_version_2:
                return await _find_version_2(connection) or result
            return result
    except TimeoutError:
        good_result = fallback and fallback.good_result()
        return (
            good_result or result or _timed_out(connection, budget if timeout is None else timeout)
        )


async def _health_then_path(request: _Request, fallback: _Fallback) -> CheckResult:
    try:
        health = await request.send()
        if _is_final(health):
            return health
        path = await fallback.result()
    finally:
        fallback.cancel()
    transport_failed = path.reason in TRANSPORT_FAILURES
    if not path.ok and health.reason is Reason.SERVER_ERROR and not transport_failed:
        return health
    return path


def _is_final(result: CheckResult) -> bool:
    """Return whether this result decides alone: a release may just not have the one endpoint."""
    return result.reason not in (Reason.NOT_OPENCODE, Reason.SERVER_ERROR)


def _is_retryable(reason: Reason) -> bool:
    return reason in TRANSPORT_FAILURES and reason not in (Reason.TIMEOUT, Reason.TLS)


async def _find_version_2(connection: "Connection") -> CheckResult | None:
    """Return a result for OpenCode 2, whose health is elsewhere and whose API is another."""
    for path in _VERSION_2_ENDPOINTS:
        try:
            response = await connection.get(path, timeout=_NO_TIMEOUT, limit=MAX_BODY)
            body = await connection.read_json(path, response)
        except RequestFailed:
            continue
        if isinstance(body, dict) and _is_version_2(body):
            return _incompatible(_version(body))
    return None


def _is_version_2(body: dict[str, Any]) -> bool:
    """Return whether OpenCode 2 says this at one of its endpoints.

    Its builds don't always have a number, and others have a JSON `/api/health` with a version too,
    Grafana for one.
    """
    has_urls = isinstance(body.get("urls"), list) and isinstance(body.get("paths"), dict)
    is_info = has_urls and isinstance(body.get("pid"), int)
    return body.get("healthy") is True or _major(_version(body)) == 2 or is_info


def _timed_out(connection: "Connection", timeout: float) -> CheckResult:
    note = f"; {connection.unreachable_note}" if connection.unreachable_note else ""
    if connection.is_resolving:
        detail = f"The server's name wasn't resolved within {timeout:g} s{note}."
        return CheckResult(reason=Reason.DNS, detail=detail)
    return CheckResult(reason=Reason.TIMEOUT, detail=f"No answer within {timeout:g} s{note}.")


def _evaluate(path: str, response: "Response", body: Any) -> CheckResult:
    if not isinstance(body, dict):
        return _other_json(path)
    if path == PATH_ENDPOINT:
        if not isinstance(body.get("directory"), str):
            return _other_json(path)
        return CheckResult(reason=Reason.OK, latency_ms=response.elapsed_ms, path_only=True)
    # A fork may have any version. What answers this way has the API of OpenCode 1; version 2 has
    # its health elsewhere.
    healthy, version = body.get("healthy"), _version(body)
    if healthy is True:
        return CheckResult(reason=Reason.OK, version=version, latency_ms=response.elapsed_ms)
    if healthy is False:
        return _unhealthy(version)
    return _other_json(path)


async def _reports_unhealthy(response: "Response") -> CheckResult | None:
    """Return the result for an error status whose body says that the server isn't healthy."""
    if response.status in _REFUSALS or response.content_type != "application/json":
        return None
    try:
        body = await response.json()
    except ValueError:
        return None
    if isinstance(body, dict) and body.get("healthy") is False:
        return _unhealthy(_version(body))
    return None


def _unhealthy(version: str | None) -> CheckResult:
    detail = "The server reports that it isn't healthy."
    return CheckResult(reason=Reason.REPORTS_UNHEALTHY, detail=detail, version=version)


def _failed(failure: RequestFailed) -> CheckResult:
    detail = failure.detail
    if failure.reason is Reason.NOT_OPENCODE:
        detail = _NOT_OPENCODE.format(observation=detail.removesuffix("."))
    return CheckResult(
        reason=failure.reason,
        detail=detail,
        refused=failure.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN),
        retry_after=failure.retry_after,
    )


def _version(body: dict[str, Any]) -> str | None:
    version = body.get("version")
    return version[:50] if isinstance(version, str) and version.isprintable() else None


def _major(version: str | None) -> int:
    """Return the first number of a version, 0 where it has none."""
    first = (version or "").partition(".")[0]
    return int(first) if first.isdecimal() else 0


def _other_json(path: str) -> CheckResult:
    detail = _NOT_OPENCODE.format(observation=f"it answered {path} with other JSON")
    return CheckResult(reason=Reason.NOT_OPENCODE, detail=detail)


def _incompatible(version: str | None) -> CheckResult:
    number = version if version and _major(version) else None
    return CheckResult(
        reason=Reason.INCOMPATIBLE,
        detail=f"OpenCode {number or 2} has another API; CodeWalk works with OpenCode 1.x.",
        version=number,
    )

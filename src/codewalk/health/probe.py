"""One check of one server.

The releases differ (see docs/opencode.md for the table): `/global/health` is JSON from 1.1 on, but
404, an error, a web page or silence before, where `/path` tells. Status 200 proves nothing, since
current releases answer unknown paths with a web page: only the JSON's shape counts.
"""

import asyncio
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any, Final

from codewalk.errors import RequestFailed
from codewalk.health.status import CheckResult
from codewalk.reason import TRANSPORT_FAILURES, Reason
from codewalk.servers.health_check import DEFAULT_SETTINGS

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection
    from codewalk.opencode.response import Response

DEFAULT_BUDGET: Final = DEFAULT_SETTINGS.timeout
"""Seconds for a whole check, retries and fallback included, unless it is given another."""

FALLBACK_DELAY: Final = 0.3
"""Seconds without an answer from `/global/health` until `/path` is asked beside it."""

RETRY_DELAYS: Final = (0.1, 0.2)
"""Seconds before each retry of a request that failed below HTTP."""

_NO_TIMEOUT: Final = inf
"""Seconds for one request: none of its own, the budget of the check ends it."""

MAX_BODY: Final = 64 * 1024
"""Bytes that a health answer may have."""

HEALTH_ENDPOINT: Final = "/global/health"
PATH_ENDPOINT: Final = "/path"
_SECOND_MAJOR: Final = ("/api/health", "/api/info")


class _Question:
    """A request and its retries; `failures` tells how it fares while it is under way."""

    def __init__(self, connection: "Connection", path: str) -> None:
        self.connection = connection
        self.path = path
        self.failures = 0

    async def ask(self) -> CheckResult:
        for pause in (*RETRY_DELAYS, None):
            try:
                answer = await self.connection.get(self.path, timeout=_NO_TIMEOUT, limit=MAX_BODY)
                body = await self.connection.read_json(self.path, answer)
                return _judge(self.path, answer, body)
            except RequestFailed as failure:
                if failure.local_fault:
                    return CheckResult(reason=Reason.UNCHECKED, detail=failure.detail)
                result = CheckResult(reason=failure.reason, detail=failure.detail)
                if pause is None or not _may_pass(failure.reason):
                    return result
            self.failures += 1
            await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns")


class _Fallback:
    """`/path`, asked beside a `/global/health` that is slow.

    The check waits for `/global/health` itself; should `/path` say that all is well before that
    answers, it ends the check's time. So a server that answers at once, as nearly all do, costs
    one task and one timer.
    """

    def __init__(
        self, health: _Question, group: asyncio.TaskGroup, budget: asyncio.Timeout
    ) -> None:
        self.task: asyncio.Task[CheckResult] | None = None
        self._health = health
        self._group = group
        self._budget = budget
        self._timer = asyncio.get_running_loop().call_later(FALLBACK_DELAY, self._start)

    def cancel(self) -> None:
        self._timer.cancel()
        if self.task:
            self.task.cancel()

    async def result(self) -> CheckResult:
        """What `/path` says; it is asked now if it wasn't yet."""
        self._timer.cancel()
        if self.task:
            self.task.remove_done_callback(self._ended)
            return await self.task
        return await _Question(self._health.connection, PATH_ENDPOINT).ask()

    def proof(self) -> CheckResult | None:
        """The good answer that came while `/global/health` was still slow."""
        if self.task and self.task.done() and not self.task.cancelled() and self.task.result().ok:
            # It is only slow: this may be no release without it.
            return replace(self.task.result(), by_path=False)
        return None

    def _start(self) -> None:
        # While that is being retried, asking another path would only double it.
        if not self._health.failures:
            question = _Question(self._health.connection, PATH_ENDPOINT)
            self.task = self._group.create_task(question.ask(), name="probe path")
            self.task.add_done_callback(self._ended)

    def _ended(self, _: object) -> None:
        if self.proof() and not self._budget.expired():
            self._budget.reschedule(0.0)


async def probe(
    connection: "Connection", *, budget: float = DEFAULT_BUDGET, path_first: bool = False
) -> CheckResult:
    """Checks one server within `budget` seconds. Never raises for what the server does.

    `path_first` is for a server whose last result had `by_path`.
    """
    fallback = verdict = None
    try:
        async with asyncio.timeout(budget) as time_left, asyncio.TaskGroup() as group:
            if path_first:
                result = await _Question(connection, PATH_ENDPOINT).ask()
                if result.ok:
                    return result
            health = _Question(connection, HEALTH_ENDPOINT)
            fallback = _Fallback(health, group, time_left)
            verdict = await _health_then_path(health, fallback)
            if verdict.reason is Reason.NOT_OPENCODE:
                return await _second_major(connection) or verdict
            return verdict
    except TimeoutError:
        proof = fallback and fallback.proof()
        return proof or verdict or _out_of_time(connection, budget)


async def _health_then_path(question: _Question, fallback: _Fallback) -> CheckResult:
    try:
        health = await question.ask()
        if _settles(health):
            return health
        path = await fallback.result()
    finally:
        fallback.cancel()
    if (
        not path.ok
        and health.reason is Reason.SERVER_ERROR
        and path.reason not in TRANSPORT_FAILURES
    ):
        return health
    return path


def _settles(result: CheckResult) -> bool:
    """Whether `/global/health` alone decides: not where an older release may just not have it."""
    return result.reason not in (Reason.NOT_OPENCODE, Reason.SERVER_ERROR)


def _may_pass(reason: Reason) -> bool:
    return reason in TRANSPORT_FAILURES and reason not in (Reason.TIMEOUT, Reason.TLS)


async def _second_major(connection: "Connection") -> CheckResult | None:
    """Whether this is OpenCode 2, whose health is elsewhere and whose calls are others."""
    for path in _SECOND_MAJOR:
        try:
            answer = await connection.get(path, timeout=_NO_TIMEOUT, limit=MAX_BODY)
            body = await connection.read_json(path, answer)
        except RequestFailed:
            continue
        if isinstance(body, dict) and _is_second_major(body):
            return _incompatible(_version(body))
    return None


def _is_second_major(body: dict[str, Any]) -> bool:
    """Whether this is what OpenCode 2 says at either path. Its builds don't always have a number,
    and others have a JSON `/api/health` with a version too, Grafana for one."""
    described = isinstance(body.get("urls"), list) and isinstance(body.get("paths"), dict)
    info = described and isinstance(body.get("pid"), int)
    return body.get("healthy") is True or _major(_version(body)) == 2 or info


def _out_of_time(connection: "Connection", budget: float) -> CheckResult:
    if connection.is_resolving:
        detail = f"The server's name wasn't resolved within {budget:g} s."
        return CheckResult(reason=Reason.DNS, detail=detail)
    return CheckResult(reason=Reason.TIMEOUT, detail=f"No answer within {budget:g} s.")


def _judge(path: str, answer: "Response", body: Any) -> CheckResult:
    if not isinstance(body, dict):
        return _not_opencode("It answers JSON, but not what an OpenCode server says.")
    if path == PATH_ENDPOINT:
        if not isinstance(body.get("directory"), str):
            return _not_opencode("It answers JSON, but not what an OpenCode server says.")
        return CheckResult(reason=Reason.OK, latency_ms=answer.elapsed_ms, by_path=True)
    healthy, version = body.get("healthy"), _version(body)
    if version and _major(version) >= 2:
        return _incompatible(version)
    if healthy is True:
        return CheckResult(reason=Reason.OK, version=version, latency_ms=answer.elapsed_ms)
    if healthy is False:
        detail = "The server says of itself that it isn't healthy."
        return CheckResult(reason=Reason.SERVER_ERROR, detail=detail, version=version)
    return _not_opencode("It answers JSON, but not what an OpenCode server says.")


def _version(body: dict[str, Any]) -> str | None:
    version = body.get("version")
    return version[:50] if isinstance(version, str) and version.isprintable() else None


def _major(version: str | None) -> int:
    """The first number of a version, 0 where it has none."""
    first = (version or "").partition(".")[0]
    return int(first) if first.isdecimal() else 0


def _not_opencode(detail: str) -> CheckResult:
    return CheckResult(reason=Reason.NOT_OPENCODE, detail=detail)


def _incompatible(version: str | None) -> CheckResult:
    known = version if version and _major(version) else None
    return CheckResult(
        reason=Reason.INCOMPATIBLE,
        detail=f"OpenCode {known or 2} has another API; CodeWalk works with OpenCode 1.x.",
        version=known,
    )

"""Sessions that forms created, so that a form that is sent twice creates one session."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from codewalk.workspace.session_creation import CreatedSession

KEEP_SECONDS: Final = 60.0
"""Seconds for which the same form creates no second session: a double click, or a browser that
sends a form again. Later it is a user who went back to the form on purpose."""

MAX_CREATIONS: Final = 100
"""Creations that are remembered; the oldest ones are forgotten first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FormContent:
    """The content of a form; `nonce` differs from form to form."""

    server_id: str
    nonce: str
    directory: str | None
    title: str | None


class RecentCreations:
    """Creations by the form that asked for them, in flight or done."""

    def __init__(self) -> None:
        self._creations: dict[FormContent, asyncio.Future[CreatedSession]] = {}

    async def run(
        self, form: FormContent, create: Callable[[], Awaitable[CreatedSession]]
    ) -> CreatedSession:
        """Return what `create` returns; for a form that was sent before, its first result.

        A creation that failed is forgotten, so that the form can be sent again. Whoever sent it
        again in the meantime gets the same error.
        """
        pending = self._creations.get(form)
        if pending is not None:
            return await asyncio.shield(pending)
        loop = asyncio.get_running_loop()
        pending = self._creations[form] = loop.create_future()
        if len(self._creations) > MAX_CREATIONS:
            del self._creations[next(iter(self._creations))]
        try:
            created = await create()
        except BaseException as exc:
            self._forget(form, pending)
            if isinstance(exc, Exception):
                pending.set_exception(exc)
                pending.exception()  # nobody else may have waited for it
            else:
                pending.cancel()
            raise
        pending.set_result(created)
        loop.call_later(KEEP_SECONDS, self._forget, form, pending)
        return created

    def _forget(self, form: FormContent, creation: "asyncio.Future[CreatedSession]") -> None:
        if self._creations.get(form) is creation:
            del self._creations[form]

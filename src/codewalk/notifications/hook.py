"""A hook as a value, and the rules for what it may be."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from codewalk.errors import AmbiguousReference, HookNotFound, InvalidURL, InvalidValue
from codewalk.notifications.notice import NoticeKind
from codewalk.secret import Secret
from codewalk.times import rfc3339

MAX_HOOKS: Final = 20
MAX_ARGUMENTS: Final = 100
MAX_TARGET: Final = 4096
"""Characters of a URL, or of all arguments together."""

ALL_EVENTS: Final = frozenset(NoticeKind)

_BLANK: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")


class HookKind(StrEnum):
    """A program that is run, or a URL that is called."""

    COMMAND = "command"
    WEBHOOK = "webhook"


@dataclass(frozen=True, kw_only=True, slots=True)
class Hook:
    """What to do when one of `events` happens.

    `target` decrypts itself when it is revealed: a URL often has a token in it, and so may a
    command. It is the URL, or the program and its arguments as JSON.
    """

    id: str
    kind: HookKind
    target: Secret
    events: frozenset[NoticeKind] = ALL_EVENTS
    created_at: datetime

    @property
    def arguments(self) -> tuple[str, ...]:
        """The program and its arguments. Raises `StorageError` where they can't be read."""
        return tuple(json.loads(self.target.reveal()))

    def to_json(self) -> dict[str, Any]:
        """As `codewalk hook list --json` has it; of a URL only where it leads."""
        command = list(self.arguments) if self.kind is HookKind.COMMAND else None
        url = redact_url(self.target.reveal()) if self.kind is HookKind.WEBHOOK else None
        return {
            "id": self.id,
            "kind": self.kind.value,
            "command": command,
            "url": url,
            "events": [what.value for what in NoticeKind if what in self.events],
            "created_at": rfc3339(self.created_at),
        }


def new_command(arguments: Sequence[str], events: Iterable[NoticeKind], now: datetime) -> Hook:
    """A hook that runs a program, without a shell. Raises `InvalidValue`."""
    if not arguments or not arguments[0]:
        raise InvalidValue("A command hook needs a program: `codewalk hook add command -- notify`.")
    if len(arguments) > MAX_ARGUMENTS or sum(map(len, arguments)) > MAX_TARGET:
        raise InvalidValue(
            f"The command is too long: at most {MAX_ARGUMENTS} arguments and {MAX_TARGET:,} "
            "characters are kept; put more into a script."
        )
    if any("\0" in argument for argument in arguments):
        raise InvalidValue("An argument has a NUL character, which no program can be given.")
    target = json.dumps(list(arguments))
    return _new(HookKind.COMMAND, target, events, now)


def new_webhook(url: str, events: Iterable[NoticeKind], now: datetime) -> Hook:
    """A hook that calls a URL. Raises `InvalidURL`, whose message never repeats what it hides."""
    url = url.strip()
    if len(url) > MAX_TARGET or _BLANK.search(url) or not url.isascii():
        raise InvalidURL("The URL is too long, or has white space or a character to be escaped.")
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or "#" in url:
        raise InvalidURL("The URL isn't one like https://example.com/hooks/codewalk.")
    return _new(HookKind.WEBHOOK, url, events, now)


def _new(kind: HookKind, target: str, events: Iterable[NoticeKind], now: datetime) -> Hook:
    chosen = frozenset(events) or ALL_EVENTS
    return Hook(id=str(uuid4()), kind=kind, target=Secret(target), events=chosen, created_at=now)


def find_hook(hooks: Iterable[Hook], reference: str) -> Hook:
    """The hook with this id, or a unique beginning of it.

    Raises `HookNotFound` or `AmbiguousReference`.
    """
    text = reference.strip().lower()
    matches = [hook for hook in hooks if text and hook.id.startswith(text)]
    if len(matches) > 1:
        raise AmbiguousReference(f"{text!r} fits {len(matches)} hooks.", value=text)
    if not matches:
        raise HookNotFound(f"No hook has the id {text!r}; `codewalk hook list` shows all.")
    return matches[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookAddress:
    """A URL taken apart: where it leads, what is asked for there, and as whom."""

    origin: str
    path: str
    username: str | None
    password: Secret | None


def parse_webhook_url(url: str) -> WebhookAddress:
    """Takes a hook's URL apart."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    query = f"?{parts.query}" if parts.query else ""
    password = None if parts.password is None else Secret(unquote(parts.password))
    return WebhookAddress(
        origin=f"{parts.scheme}://{place}",
        path=(parts.path or "/") + query,
        username=None if parts.username is None else unquote(parts.username),
        password=password,
    )


def redact_url(url: str) -> str:
    """A hook's URL as it may be shown: its path and query are often a secret."""
    address = parse_webhook_url(url)
    return address.origin + ("/…" if address.path != "/" else "/")

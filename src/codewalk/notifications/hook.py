"""A hook as a value, and the rules for valid hooks."""

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
"""Arguments of a command, its program included."""

MAX_TARGET: Final = 4096
"""Characters of a URL, or of all arguments together."""

ALL_EVENTS: Final = frozenset(NoticeKind)

_WHITESPACE: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")


class HookKind(StrEnum):
    """The kind of a hook: a program to run, or a URL to call."""

    COMMAND = "command"
    WEBHOOK = "webhook"


@dataclass(frozen=True, kw_only=True, slots=True)
class Hook:
    """A program that is run, or a URL that is called, when one of `events` happens.

    Attributes:
        id: Its id, a UUID.
        kind: Whether it is a program or a URL.
        target: The URL, or the program and its arguments as JSON. Decrypted when it is revealed:
            a URL often contains a token, and so may a command.
        events: What it is run or called for.
        created_at: When it was added.
    """

    id: str
    kind: HookKind
    target: Secret
    events: frozenset[NoticeKind] = ALL_EVENTS
    created_at: datetime

    @property
    def arguments(self) -> tuple[str, ...]:
        """The program and its arguments.

        Raises:
            StorageError: They can't be decrypted.
        """
        return tuple(json.loads(self.target.reveal()))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON of `codewalk hook list --json`; of a URL it has only the origin."""
        command = list(self.arguments) if self.kind is HookKind.COMMAND else None
        url = redact_url(self.target.reveal()) if self.kind is HookKind.WEBHOOK else None
        return {
            "id": self.id,
            "kind": self.kind.value,
            "command": command,
            "url": url,
            "events": [kind.value for kind in NoticeKind if kind in self.events],
            "created_at": rfc3339(self.created_at),
        }


def new_command(arguments: Sequence[str], events: Iterable[NoticeKind], now: datetime) -> Hook:
    """Return a new hook that runs a program, without a shell.

    Args:
        arguments: The program and its arguments.
        events: What it is run for; everything if empty.
        now: The time.

    Raises:
        InvalidValue: There is no program, an argument can't be passed to one, or they are too long.
    """
    if not arguments or not arguments[0]:
        raise InvalidValue("A command hook needs a program: `codewalk hook add command -- notify`.")
    if len(arguments) > MAX_ARGUMENTS or sum(map(len, arguments)) > MAX_TARGET:
        raise InvalidValue(
            f"The command is too long: at most {MAX_ARGUMENTS} arguments and {MAX_TARGET:,} "
            "characters are possible; put more into a script."
        )
    if any("\0" in argument for argument in arguments):
        raise InvalidValue("An argument contains a NUL character, which can't be passed.")
    target = json.dumps(list(arguments))
    return _new(HookKind.COMMAND, target, events, now)


def new_webhook(url: str, events: Iterable[NoticeKind], now: datetime) -> Hook:
    """Return a new hook that calls a URL.

    Args:
        url: The URL.
        events: What it is called for; everything if empty.
        now: The time.

    Raises:
        InvalidURL: It can't be called. The message doesn't repeat the URL, which may be a secret.
    """
    url = url.strip()
    if len(url) > MAX_TARGET or _WHITESPACE.search(url) or not url.isascii():
        raise InvalidURL(
            f"The URL is longer than {MAX_TARGET:,} characters, or contains white space or a "
            "character that must be percent-encoded."
        )
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or "#" in url:
        raise InvalidURL(
            "The URL must begin with http:// or https://, name a host and have no fragment, as "
            "https://example.com/hooks/codewalk does."
        )
    return _new(HookKind.WEBHOOK, url, events, now)


def _new(kind: HookKind, target: str, events: Iterable[NoticeKind], now: datetime) -> Hook:
    return Hook(
        id=str(uuid4()),
        kind=kind,
        target=Secret(target),
        events=frozenset(events) or ALL_EVENTS,
        created_at=now,
    )


def find_hook(hooks: Iterable[Hook], reference: str) -> Hook:
    """Return the hook with this id, or with an id that begins with it.

    Raises:
        HookNotFound: There is none.
        AmbiguousReference: There are several.
    """
    text = reference.strip().lower()
    matches = [hook for hook in hooks if text and hook.id.startswith(text)]
    if len(matches) > 1:
        raise AmbiguousReference(
            f"{text!r} is the beginning of {len(matches)} hook ids; give more of it.", value=text
        )
    if not matches:
        raise HookNotFound(f"No hook has the id {text!r}; `codewalk hook list` shows all hooks.")
    return matches[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookAddress:
    """The parts of a webhook's URL: origin, path with query, and credentials."""

    origin: str
    path: str
    username: str | None
    password: Secret | None


def parse_webhook_url(url: str) -> WebhookAddress:
    """Return the parts of a webhook's URL."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    query = f"?{parts.query}" if parts.query else ""
    password = None if parts.password is None else Secret(unquote(parts.password))
    return WebhookAddress(
        origin=f"{parts.scheme}://{host}",
        path=(parts.path or "/") + query,
        username=None if parts.username is None else unquote(parts.username),
        password=password,
    )


def redact_url(url: str) -> str:
    """Return a webhook's URL as it may be shown: its path and query are often a secret."""
    address = parse_webhook_url(url)
    return address.origin + ("/…" if address.path != "/" else "/")

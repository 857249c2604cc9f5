"""Resolves references to servers, and rejects ambiguous names."""

from typing import Final
from urllib.parse import urlsplit

from codewalk.errors import AmbiguousReference, DuplicateServer, InvalidURL, ServerNotFound
from codewalk.servers.profile import PREVIOUS_REFERENCE, ServerProfile
from codewalk.servers.roster import Roster
from codewalk.servers.url import parse_url, redact_url

_LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})

MIN_ID_PREFIX: Final = 4
"""Characters from which the start of an id is as good a reference as a label or a URL. Fewer, such
as the label `A`, are the start of some id by chance: one in sixteen ids starts with any digit."""


def find(roster: Roster, reference: str) -> ServerProfile:
    """Return the server that a reference names.

    Args:
        roster: All servers.
        reference: An id, a label (in any case), a URL, a unique prefix of an id, or `-` for the
            previously active server.

    Raises:
        ServerNotFound: It fits no server.
        AmbiguousReference: It fits several. Which one is meant isn't guessed: it may be about to
            be removed.
    """
    text = reference.strip()
    if text == PREVIOUS_REFERENCE:
        if previous := roster.get(roster.previous_id):
            return previous
        raise ServerNotFound("There is no previously active server.", value=text)
    if by_id := roster.get(text.lower()):
        return by_id
    printable = redact_url(text, is_url="://" in text or "=" in text)
    matches = _matches(roster, text)
    if len(matches) > 1:
        names = ", ".join(f"{p.name} ({p.id[:8]})" for p in matches[:5])
        raise AmbiguousReference(
            f"{printable!r} fits {len(matches)} servers: {names}. Use more of the id.",
            value=printable,
        )
    if not matches:
        raise ServerNotFound(
            f"No server is called {printable!r}; `codewalk server list` shows all.",
            value=printable,
        )
    return matches[0]


def _matches(roster: Roster, text: str) -> list[ServerProfile]:
    named = _with_label_or_url(roster, text)
    prefix = text.casefold()
    if not prefix or (named and len(prefix) < MIN_ID_PREFIX):
        return named
    ids = {p.id for p in named}
    return [p for p in roster.profiles if p.id in ids or p.id.startswith(prefix)]


def _with_label_or_url(roster: Roster, text: str) -> list[ServerProfile]:
    """Return the servers with this label or URL: two, where a label reads like another's URL."""
    folded = text.casefold()
    try:
        url = parse_url(text).url
    except InvalidURL:
        url = None
    return [
        p
        for p in roster.profiles
        if p.url == url or (p.label is not None and p.label.casefold() == folded)
    ]


def require_unused_url(roster: Roster, url: str, *, except_id: str | None = None) -> None:
    """Raise `DuplicateServer` where a server has this URL, except the one with that id."""
    for other in roster.profiles:
        if other.url == url and other.id != except_id:
            raise DuplicateServer(f"{url} is already saved as {other.name!r}.", value=url)


def find_same_loopback(
    roster: Roster, url: str, *, except_id: str | None = None
) -> ServerProfile | None:
    """Return another server whose URL differs only in the name of this machine, None without one.

    `localhost`, `127.0.0.1` and `[::1]` are the same server, unless several servers share the port.
    """
    address = _loopback_address(url)
    if address is None:
        return None
    others = (p for p in roster.profiles if p.id != except_id and p.url != url)
    return next((p for p in others if _loopback_address(p.url) == address), None)


def _loopback_address(url: str) -> tuple[int, str] | None:
    """Return port and path of a normalised URL of this machine, None for another one's."""
    parts = urlsplit(url)
    if parts.hostname not in _LOOPBACK_HOSTS:
        return None
    return parts.port or (443 if parts.scheme == "https" else 80), parts.path


def require_unique(roster: Roster, profile: ServerProfile) -> None:
    """Raise `DuplicateServer` where another server has the URL or the label of this one."""
    require_unused_url(roster, profile.url, except_id=profile.id)
    for other in roster.profiles:
        if other.id == profile.id:
            continue
        if profile.label and other.label and other.label.casefold() == profile.label.casefold():
            raise _label_taken(profile.label, other)


def require_unambiguous_label(roster: Roster, profile: ServerProfile) -> None:
    """Raise `DuplicateServer` where a new label reads like another server's URL or id.

    Only for a label that a user gives now. One that is imported or stored already is no reason to
    refuse its server, whose other fields can be edited too.
    """
    if profile.label is None:
        return
    by_id = roster.get(profile.label.lower())
    for other in [*_with_label_or_url(roster, profile.label), *([by_id] if by_id else [])]:
        if other.id != profile.id:
            raise _label_taken(profile.label, other)


def _label_taken(label: str, other: ServerProfile) -> DuplicateServer:
    return DuplicateServer(f"The label {label!r} already names {other.url}.", value=label)

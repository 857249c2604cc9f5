"""A server profile, and the rules for its URL, label and credentials."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

from codewalk.errors import InvalidCredentials, InvalidURL, InvalidValue
from codewalk.opencode.defaults import DEFAULT_USERNAME
from codewalk.secret import Secret
from codewalk.servers.health_check import DEFAULT_SETTINGS, HealthCheckSettings

PREVIOUS_REFERENCE: Final = "-"
"""The reference that means the previously active server, as in `cd -`; so no label is that."""

MAX_URL: Final = 2048
MAX_LABEL: Final = 100
MAX_CREDENTIAL: Final = 1024

_EXAMPLE: Final = "expected something like http://devbox:4096 or https://host/opencode"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HALF_SCHEME: Final = re.compile(r"https?:(?!//)(?!\d+(?:/|$))", re.IGNORECASE)
_BARE_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?=[^\d/]|/)(?!.*[@:])")
_NUMERIC: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?", re.IGNORECASE)
_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]")
_HOST_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CREDENTIAL_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_AT_SIGN: Final = re.compile("[@\uff20\ufe6b]")
"""Also those that an input method for Chinese or Japanese gives: in NFKC they are one."""

_BLANK: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")


class NotifySetting(StrEnum):
    """Whether what happens to a server is told, and seen at once by a live link."""

    ON = "on"
    """Told; linked, however long the list is."""
    OFF = "off"
    """Not told; linked only while it is active."""
    DEFAULT = "default"
    """Told; linked while it is among the first ones of the list."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerProfile:
    """One OpenCode server as the user knows it.

    `id` is a UUID that never changes: a server's identity isn't its URL. `url` is normalised by
    `parse_url`. `basic_auth_password` decrypts itself when it is revealed. Until `snoozed_until`
    nothing is told of the server.
    """

    id: str
    url: str
    label: str | None = None
    basic_auth_enabled: bool = False
    basic_auth_username: str = DEFAULT_USERNAME
    basic_auth_password: Secret | None = None
    managed: bool = False
    health_check: HealthCheckSettings = DEFAULT_SETTINGS
    snoozed_until: datetime | None = None
    notify: NotifySetting = NotifySetting.DEFAULT
    created_at: datetime
    updated_at: datetime

    @property
    def name(self) -> str:
        """The label, else the URL without its scheme."""
        return self.label or self.url.partition("://")[2]


def connects_differently(old: ServerProfile, new: ServerProfile) -> bool:
    """Whether an edit makes what is known of a server's health worthless."""
    if old is new:
        return False
    reach = ("url", "basic_auth_enabled", "basic_auth_username", "basic_auth_password")
    return any(getattr(old, field) != getattr(new, field) for field in reach)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedURL:
    """A normalised URL, and what else stood in the text it came from.

    `port` is the one that was typed, also where the URL leaves it out as the scheme's own.
    """

    url: str
    port: int | None = None
    username: str | None = None
    password: Secret | None = None


def parse_url(text: str) -> ParsedURL:
    """Normalises what a person typed for a server.

    Trimmed; `http://` where no scheme is given; scheme and host in lower case, international names
    in punycode; default ports and trailing slashes dropped; dot segments resolved; a path prefix
    kept. `user:password@` is taken out. No port is ever made up. Normalising twice changes nothing.

    Raises `InvalidURL`, whose message never repeats a password.
    """
    text = text.strip()
    shown = redact_url(text)
    _refuse_characters(text, shown)
    parts = _split(text, shown)
    host = _host(parts, shown)
    port = _port(parts, shown)
    authority = host if port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{host}:{port}"
    url = f"{parts.scheme}://{authority}{_path(parts.path)}"
    if len(url) > MAX_URL:
        raise _too_long(shown)
    username, password = _userinfo(parts, shown)
    return ParsedURL(url=url, port=port, username=username, password=password)


def origin(url: str) -> str:
    """Scheme, host and port of a normalised URL: where credentials may go."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def clean_label(text: str | None) -> str | None:
    """A label as it is kept: trimmed, and None where nothing is left. Raises `InvalidValue`."""
    label = (text or "").strip()
    if _CONTROL.search(label) or not _encodable(label):
        raise InvalidValue(
            "The label has a control character or half a character; use plain text.",
            value=label.encode(errors="replace").decode(),
        )
    if label == PREVIOUS_REFERENCE:
        raise InvalidValue(
            f"{PREVIOUS_REFERENCE!r} means the previously active server; give another label.",
            value=label,
        )
    if len(label) > MAX_LABEL:
        raise InvalidValue(
            f"The label has {len(label)} characters; at most {MAX_LABEL} are allowed.", value=label
        )
    return label or None


def check_credentials(username: str, password: Secret | None) -> None:
    """Raises `InvalidCredentials` for what Basic authentication can't carry (RFC 7617).

    A password may hold any character but a control character, a colon too; a user name no colon.
    """
    if not username:
        raise InvalidCredentials("The user name is empty; an OpenCode server's is `opencode`.")
    if ":" in username:
        raise InvalidCredentials(
            "The user name has a colon, which Basic authentication can't carry."
        )
    secret = password.reveal() if password else ""
    for what, text in (("user name", username), ("password", secret)):
        if _CREDENTIAL_CONTROL.search(text) or not _encodable(text):
            raise InvalidCredentials(f"The {what} has a control character or half a character.")
        if len(text) > MAX_CREDENTIAL:
            raise InvalidCredentials(f"The {what} is over {MAX_CREDENTIAL:,} characters long.")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def redact_url(text: str) -> str:
    """The text as an error may repeat it: a password doesn't show, and it isn't long."""
    shown = strip_userinfo(text, replacement="***@")
    return shown if len(shown) <= 200 else shown[:200] + "…"


def strip_userinfo(text: str, *, replacement: str = "") -> str:
    """The text with `replacement` in the place of all that may be a user name and a password."""
    signs = [sign.end() for sign in _AT_SIGN.finditer(text)]
    if not signs:
        return text
    scheme = _SCHEME.match(text, 0, signs[-1])
    return f"{scheme.group() if scheme else ''}{replacement}{text[signs[-1] :]}"


def _invalid(shown: str, problem: str) -> InvalidURL:
    return InvalidURL(f"{shown!r} {problem}; {_EXAMPLE}.", value=shown)


def _named(part: str, shown: str) -> str:
    """A part of what was typed, for a message that may repeat it.

    A password with a bare slash in it ends up where the host or port is looked for.
    """
    return f", {part!r}" if part in shown else ""


def _too_long(shown: str) -> InvalidURL:
    return _invalid(shown, f"is over {MAX_URL:,} characters long")


def _refuse_characters(text: str, shown: str) -> None:
    if not text:
        raise InvalidURL(f"The URL is empty; {_EXAMPLE}.", value="")
    if len(text) > MAX_URL:
        raise _too_long(shown)
    if _BLANK.search(text):
        raise _invalid(shown, "has white space or a control character inside")
    if "\\" in text:
        raise _invalid(shown, "has a backslash")
    if not _encodable(text):
        raise _invalid(shown, "has half a character")


def _split(text: str, shown: str) -> SplitResult:
    if not _SCHEME.match(text):
        if half := _HALF_SCHEME.match(text):
            raise _invalid(shown, f"lacks the two slashes after {half.group()!r}")
        if bare := _BARE_SCHEME.match(text):
            raise _invalid(shown, f"has the scheme {bare[1]!r}, not http or https")
        text = f"http://{text.removeprefix('//')}"
    try:
        parts = urlsplit(text)
    except ValueError:
        # Without its cause, here and below: that would repeat what was typed, password and all.
        raise _invalid(shown, "has a host that can't be read") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise _invalid(shown, f"has the scheme {parts.scheme!r}, not http or https")
    if "?" in text or "#" in text:
        raise _invalid(shown, "has a query or fragment, which a server's base URL can't have")
    return parts


def _host(parts: SplitResult, shown: str) -> str:
    place = parts.netloc.rpartition("@")[2]
    if place.startswith("["):
        return _ipv6(place, shown)
    if place.count(":") > 1:
        raise _invalid(shown, "has an IPv6 address without brackets, as in http://[::1]:4096")
    name = place.partition(":")[0]
    if not name:
        raise _invalid(shown, "has no host")
    host = _host_name(name, shown)
    # Only now: escapes and digits of other scripts have become plain ones.
    return _ipv4(host, shown) if _NUMERIC.fullmatch(host) else host


def _ipv6(place: str, shown: str) -> str:
    inner, bracket, rest = place[1:].partition("]")
    if not bracket or (rest and not rest.startswith(":")):
        raise _invalid(shown, "has brackets that don't hold an IPv6 address alone")
    address, percent, zone = inner.partition("%")
    zone = zone.removeprefix("25")
    if percent and not re.fullmatch(r"[A-Za-z0-9._~-]+", zone):
        raise _invalid(shown, "has a bad IPv6 zone")
    try:
        plain = str(IPv6Address(address))
    except AddressValueError:
        raise _invalid(shown, f"has a bad IPv6 address{_named(address, shown)}") from None
    return f"[{plain}%25{zone}]" if zone else f"[{plain}]"


def _ipv4(name: str, shown: str) -> str:
    try:
        return str(IPv4Address(name))
    except AddressValueError:
        raise _invalid(shown, f"has a bad IPv4 address{_named(name, shown)}") from None


def _host_name(name: str, shown: str) -> str:
    lowered = unquote(name).lower()
    if not lowered.isascii():
        lowered = _punycode(lowered, shown)
    bare = lowered.removesuffix(".")
    if len(bare) > 253 or not all(_HOST_NAME.fullmatch(part) for part in bare.split(".")):
        raise _invalid(shown, f"has a bad host name{_named(name, shown)}")
    return bare


def _punycode(name: str, shown: str) -> str:
    # Imported here: only international names need its tables, and start-up time is felt.
    import idna

    try:
        return idna.encode(name, uts46=True).decode("ascii").lower()
    except idna.IDNAError as exc:
        why = f" ({exc})" if name in shown.lower() else ""
        raise _invalid(shown, f"has a bad international host name{why}") from None


def _port(parts: SplitResult, shown: str) -> int | None:
    place = parts.netloc.rpartition("@")[2]
    text = place.rpartition("]")[2].partition(":")[2]
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise _invalid(shown, f"has a bad port{_named(text, shown)}: it is from 1 to 65535")
    return int(text)


def _path(path: str) -> str:
    """The path prefix, dot segments resolved (RFC 3986, 5.2.4), without a trailing slash."""
    kept: list[str] = []
    for segment in quote(_ESCAPE.sub(_plain, path), safe="/%:@!$&'()*+,;=~-._").split("/")[1:]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    while kept and not kept[-1]:
        kept.pop()
    return "".join(f"/{segment}" for segment in kept)


def _plain(escape: re.Match[str]) -> str:
    """One spelling of an escape: none where none is needed (RFC 3986, 6.2.2), else upper case."""
    if not escape[1]:
        return "%25"
    character = chr(int(escape[1], 16))
    return character if _UNRESERVED.fullmatch(character) else escape.group().upper()


def _userinfo(parts: SplitResult, shown: str) -> tuple[str | None, Secret | None]:
    info, mark, _ = parts.netloc.rpartition("@")
    if not mark or not info.strip(":"):
        return None, None
    try:
        username, _, password = (unquote(part, errors="strict") for part in info.partition(":"))
    except UnicodeDecodeError:
        raise _invalid(shown, "has a user name or password that isn't UTF-8") from None
    return username or None, Secret(password) if password else None

"""The rules for a server's URL."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

from codewalk.errors import InvalidURL
from codewalk.secret import Secret

MAX_URL: Final = 2048
"""Characters of a URL."""

MAX_QUOTED: Final = 200
"""Characters of a bad URL that an error message repeats."""

_EXAMPLE: Final = "expected something like http://devbox:4096 or https://host/opencode"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HALF_SCHEME: Final = re.compile(r"https?:(?!//)(?!\d+(?:/|$))", re.IGNORECASE)
_BARE_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?=[^\d/]|/)(?!.*[@:])")
_NUMERIC: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?", re.IGNORECASE)
_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]")
_HOST_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_AT_SIGN: Final = re.compile("[@\uff20\ufe6b]")
"""The full-width ones, of input methods for Chinese or Japanese, too: NFKC makes them plain."""

_QUERY: Final = re.compile("[?#\uff1f\ufe56\uff03\ufe5f]")
"""The beginning of a query or fragment, full-width and small ones included, as for `_AT_SIGN`."""

_EMBEDDED_URL: Final = re.compile(r"https?://\S+", re.IGNORECASE)
_MISTYPED_SCHEME: Final = re.compile(r"(?:(?:https?:)?//)?(https?):?//+(?=[^/])", re.IGNORECASE)

_ENDPOINTS: Final = frozenset(
    {"agent", "api", "command", "config", "doc", "event", "file", "find", "global", "path"}
    | {"project", "provider", "session"}
)
"""The first segments of the paths of OpenCode's API."""

_ABSOLUTE_PATH: Final = re.compile(r"/|[A-Za-z]:[\\/]")
_LISTENS_ON_ALL: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - replaced, not bound
"""Addresses to listen on that `opencode serve` prints, and those at which this machine has it."""

_BLANK: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedURL:
    """A normalised URL, and what else was typed with it.

    `port` is the one that was typed, even where the URL leaves it out as the scheme's default.
    """

    url: str
    port: int | None = None
    username: str | None = None
    password: Secret | None = None


def parse_url(text: str) -> ParsedURL:
    """Normalise the URL that a user typed for a server.

    White space around it is removed; `http://` is added where there is no scheme; scheme and host
    become lower case, and international names punycode; default ports and trailing slashes are
    dropped; dot segments are resolved; a path prefix stays. `user:password@` is taken out. A port
    is never added. `0.0.0.0`, on which a server can only listen, becomes `127.0.0.1`. Normalising
    twice changes nothing.

    Raises:
        InvalidURL: It is no URL of a server. The message never repeats a password or a query;
            `suggestion` is the URL that may be meant.
    """
    try:
        return _parse(text.strip())
    except InvalidURL as exc:
        suggestion = _suggest(text.strip())
        if suggestion is None:
            raise
        message = f"{exc.message} Is it {suggestion}?"
        raise InvalidURL(message, value=exc.value, suggestion=suggestion) from None


def base_url(url: str) -> str | None:
    """Return the base URL of the server whose web page or endpoint a normalised URL seems to be.

    The web app's pages have paths such as `/L2hvbWU/session/ses_1`, where the first segment is a
    directory in Base64. A server behind a proxy may really have such a path for its prefix: this is
    a suggestion for a URL at which no server answers.

    Returns:
        None where the path has nothing of OpenCode's.
    """
    prefix, *segments = urlsplit(url).path.split("/")
    for index, segment in enumerate(segments):
        if segment in _ENDPOINTS or _is_encoded_directory(segment):
            return origin(url) + "/".join([prefix, *segments[:index]]).rstrip("/")
    return None


def _is_encoded_directory(segment: str) -> bool:
    try:
        data = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
        path = data.decode()
    except ValueError:
        return False
    # Decoding ignores what isn't Base64.
    is_exact = urlsafe_b64encode(data).decode().rstrip("=") == segment
    return is_exact and path.isprintable() and bool(_ABSOLUTE_PATH.match(path))


def _suggest(text: str) -> str | None:
    """Return the URL that a refused text seems to mean, without anything that may be a secret."""
    if len(text) > MAX_URL or _AT_SIGN.search(text):
        return None
    candidate = text
    if _BLANK.search(text):
        # A line of a log, such as "opencode server listening on http://127.0.0.1:4096".
        urls = _EMBEDDED_URL.findall(text)
        candidate = urls[0] if len(urls) == 1 else ""
    candidate = _QUERY.split(candidate)[0].rstrip("\"'.,;)>")
    candidate = _MISTYPED_SCHEME.sub(r"\1://", candidate, count=1)
    try:
        url = _parse(candidate).url
    except InvalidURL:
        return None
    suggestion = base_url(url) or url
    return suggestion if len(suggestion) <= MAX_QUOTED else None


def _parse(text: str) -> ParsedURL:
    printable = redact_url(text)
    _refuse_characters(text, printable)
    parts = _split(text, printable)
    host = _host(parts, printable)
    host = _LISTENS_ON_ALL.get(host, host)
    port = _port(parts, printable)
    authority = host if port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{host}:{port}"
    path = _path(parts.path)
    # Of the URL and of its normalised form: neither may be read as another one's scheme.
    if authority in _DEFAULT_PORTS and "//" in (parts.path[:2], path[:2]):
        raise _invalid(printable, f"has {authority!r} for its host, by a mistyped '://'")
    url = f"{parts.scheme}://{authority}{path}"
    if len(url) > MAX_URL:
        raise _too_long(printable)
    username, password = _userinfo(parts, printable)
    return ParsedURL(url=url, port=port, username=username, password=password)


def origin(url: str) -> str:
    """Return scheme, host and port of a normalised URL: where credentials may be sent."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def redact_url(text: str, *, is_url: bool = True) -> str:
    """Return the text as an error may repeat it: without anything secret, and not too long.

    Args:
        text: What the user typed.
        is_url: Whether it is surely a URL, so that a query or fragment may be a secret.
    """
    strip = strip_secrets if is_url else strip_userinfo
    redacted = strip(text, replacement="***")
    return redacted if len(redacted) <= MAX_QUOTED else redacted[:MAX_QUOTED] + "…"


def strip_secrets(text: str, *, replacement: str = "") -> str:
    """Replace everything that may be a user name, a password, a query or a fragment."""
    query = _QUERY.search(text)
    if query is None or query.end() == len(text):
        return strip_userinfo(text, replacement=replacement)
    signs = list(_AT_SIGN.finditer(text))
    if signs and query.start() < signs[-1].start():
        # Either the password has a question mark or the query has an at sign.
        scheme = _SCHEME.match(text, 0, query.start())
        return f"{scheme.group() if scheme else ''}{replacement}"
    mark = query.group() if replacement else ""
    return strip_userinfo(text[: query.start()], replacement=replacement) + mark + replacement


def strip_userinfo(text: str, *, replacement: str = "") -> str:
    """Replace everything that may be a user name and a password."""
    signs = [sign.end() for sign in _AT_SIGN.finditer(text)]
    if not signs:
        return text
    scheme = _SCHEME.match(text, 0, signs[-1])
    sign = "@" if replacement else ""
    return f"{scheme.group() if scheme else ''}{replacement}{sign}{text[signs[-1] :]}"


def _invalid(printable: str, problem: str) -> InvalidURL:
    return InvalidURL(f"{printable!r} {problem}; {_EXAMPLE}.", value=printable)


def _quoted(part: str, printable: str) -> str:
    """Return a part of the URL for a message, nothing where it may be part of a password.

    A password with an unescaped slash ends up where the host or port is looked for.
    """
    return f", {part!r}" if part in printable else ""


def _too_long(printable: str) -> InvalidURL:
    return _invalid(printable, f"is over {MAX_URL:,} characters long")


def _refuse_characters(text: str, printable: str) -> None:
    if not text:
        raise InvalidURL(f"The URL is empty; {_EXAMPLE}.", value="")
    if len(text) > MAX_URL:
        raise _too_long(printable)
    if _BLANK.search(text):
        raise _invalid(printable, "has white space or a control character inside")
    if "\\" in text:
        raise _invalid(printable, "has a backslash")
    if not is_valid_unicode(text):
        raise _invalid(printable, "has invalid Unicode")


def _split(text: str, printable: str) -> SplitResult:
    if not _SCHEME.match(text):
        if half := _HALF_SCHEME.match(text):
            raise _invalid(printable, f"lacks the two slashes after {half.group()!r}")
        if bare := _BARE_SCHEME.match(text):
            raise _invalid(printable, f"has the scheme {bare[1]!r}, not http or https")
        text = f"http://{text.removeprefix('//')}"
    try:
        parts = urlsplit(text)
    except ValueError:
        # Without its cause, here and below: that would repeat the text, password included.
        raise _invalid(printable, "has a host that can't be read") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise _invalid(printable, f"has the scheme {parts.scheme!r}, not http or https")
    if "?" in text or "#" in text:
        problem = "has a query or fragment, which a server's base URL can't have"
        if "auth_token=" in text:
            problem += " (give the user name and password in their own fields)"
        raise _invalid(printable, problem)
    return parts


def _host(parts: SplitResult, printable: str) -> str:
    address = parts.netloc.rpartition("@")[2]
    if address.startswith("["):
        return _ipv6(address, printable)
    if address.count(":") > 1:
        raise _invalid(printable, "has an IPv6 address without brackets, as in http://[::1]:4096")
    name = address.partition(":")[0]
    if not name:
        raise _invalid(printable, "has no host")
    host = _host_name(name, printable)
    # Tested last: escapes and digits of other scripts have become plain ones by now.
    return _ipv4(host, printable) if _NUMERIC.fullmatch(host) else host


def _ipv6(text: str, printable: str) -> str:
    inner, bracket, rest = text[1:].partition("]")
    if not bracket or (rest and not rest.startswith(":")):
        raise _invalid(printable, "has brackets that don't hold an IPv6 address alone")
    address, percent, zone = inner.partition("%")
    zone = zone.removeprefix("25")
    if percent and not re.fullmatch(r"[A-Za-z0-9._~-]+", zone):
        raise _invalid(printable, "has a bad IPv6 zone")
    try:
        plain = str(IPv6Address(address))
    except AddressValueError:
        raise _invalid(printable, f"has a bad IPv6 address{_quoted(address, printable)}") from None
    return f"[{plain}%25{zone}]" if zone else f"[{plain}]"


def _ipv4(name: str, printable: str) -> str:
    try:
        return str(IPv4Address(name))
    except AddressValueError:
        raise _invalid(printable, f"has a bad IPv4 address{_quoted(name, printable)}") from None


def _host_name(name: str, printable: str) -> str:
    lowered = unquote(name).lower()
    if not lowered.isascii():
        lowered = _punycode(lowered, printable)
    bare = lowered.removesuffix(".")
    if len(bare) > 253 or not all(_HOST_NAME.fullmatch(part) for part in bare.split(".")):
        raise _invalid(printable, f"has a bad host name{_quoted(name, printable)}")
    return bare


def _punycode(name: str, printable: str) -> str:
    # Imported here: only international names need its tables, which slow every start down.
    import idna

    try:
        return idna.encode(name, uts46=True).decode("ascii").lower()
    except idna.IDNAError as exc:
        detail = f" ({exc})" if name in printable.lower() else ""
        raise _invalid(printable, f"has a bad international host name{detail}") from None


def _port(parts: SplitResult, printable: str) -> int | None:
    address = parts.netloc.rpartition("@")[2]
    text = address.rpartition("]")[2].partition(":")[2]
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise _invalid(
            printable, f"has a bad port{_quoted(text, printable)}: it is from 1 to 65535"
        )
    return int(text)


def _path(path: str) -> str:
    """Return the path with dot segments resolved (RFC 3986, 5.2.4), without a trailing slash."""
    resolved: list[str] = []
    for segment in quote(_ESCAPE.sub(_plain, path), safe="/%:@!$&'()*+,;=~-._").split("/")[1:]:
        if segment == "..":
            del resolved[-1:]
        elif segment != ".":
            resolved.append(segment)
    while resolved and not resolved[-1]:
        resolved.pop()
    return "".join(f"/{segment}" for segment in resolved)


def _plain(escape: re.Match[str]) -> str:
    """Return an escape in upper case, or its character where none is needed (RFC 3986, 6.2.2)."""
    if not escape[1]:
        return "%25"
    character = chr(int(escape[1], 16))
    return character if _UNRESERVED.fullmatch(character) else escape.group().upper()


def _userinfo(parts: SplitResult, printable: str) -> tuple[str | None, Secret | None]:
    info, at, _ = parts.netloc.rpartition("@")
    if not at or not info.strip(":"):
        return None, None
    try:
        username, _, password = (unquote(part, errors="strict") for part in info.partition(":"))
    except UnicodeDecodeError:
        raise _invalid(printable, "has a user name or password that isn't UTF-8") from None
    return username or None, Secret(password) if password else None


def is_valid_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

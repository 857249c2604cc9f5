"""Properties of every text that a user may type as a server's URL."""

import re
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from codewalk.errors import InvalidInput, InvalidURL
from codewalk.opencode.defaults import DEFAULT_PORT
from codewalk.servers.draft import new_profile, with_default_port
from codewalk.servers.url import MAX_URL, ParsedURL, base_url, origin, parse_url
from tests.fakes import EPOCH
from tests.unit.servers.leaks import visible_text

ANYTHING = st.text() | st.text("htps:/@.?#[]%-_2eE0 \\1١Ⅷ．é\u200d\ud800")

HOSTS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_.%-]{1,20}", fullmatch=True),
    st.text(st.characters(categories=["L", "N", "M", "Pd"]), min_size=1, max_size=12),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address.exploded.upper()}]"),
    st.from_regex(r"\[fe80::[0-9a-f]{1,4}%(25)?[a-z0-9]{1,8}\]", fullmatch=True),
    st.sampled_from(["1", "１", "0x7f.1", "127.0.0.%30", "xn--a", "a.", "ß", "K", "⓪", "İ", "。"]),
)
PORTS = st.just("") | st.integers(0, 70_000).map(lambda port: f":{port}") | st.just(":")
SEGMENTS = st.sampled_from(
    ["", ".", "..", "%2e", "%2E.", "a", "b%2Fc", "é", "%", "%zz", "a b", "@"]
)
PATHS = st.lists(SEGMENTS, max_size=6).map(lambda parts: "".join(f"/{part}" for part in parts))
SCHEMES = st.sampled_from(["", "http://", "https://", "HTTP://", "//", "ftp://", "http:"])
USERS = st.just("") | st.from_regex(r"[a-z%A-F0-9:@]{0,8}@", fullmatch=True)
TYPED = st.builds(lambda *parts: "".join(parts), SCHEMES, USERS, HOSTS, PORTS, PATHS)


def parsed(text: str) -> ParsedURL:
    """Return the URL that `text` is parsed to; reject the example if it is no URL."""
    try:
        return parse_url(text)
    except InvalidURL:
        assume(False)
        raise


@given(ANYTHING | TYPED)
@example("http://127.0.0.%30%31")
@example("１")
def test_any_text_is_a_url_or_refused_as_one(text: str) -> None:
    suggestion = suggestion_for(text)
    end = f" Is it {suggestion}?" if suggestion else "."
    try:
        message = parse_url(text).url + end
    except InvalidURL as refused:
        message = refused.message
    assert message.endswith(end)
    assert len(message) < 3 * MAX_URL


@given(TYPED)
@example("http://[fe80::1%2525]")
@example("http://h/%252e/%2%65/..%2f")
@example("http://http.//x")
@example("http://%68ttp/.//x")
@example("http://https:80/a/..//x")
@example("http://0.0.0.0:1")
def test_normalising_twice_changes_nothing(text: str) -> None:
    url = parsed(text).url
    again = parse_url(url)
    assert again == ParsedURL(url=url, port=urlsplit(url).port)


@given(TYPED)
def test_a_normalized_url_is_well_formed(text: str) -> None:
    url = parsed(text).url
    assert re.fullmatch(r"https?://[!-~]+", url)
    assert len(url) <= MAX_URL
    parts = urlsplit(url)
    assert parts.netloc == parts.netloc.lower() or "%25" in parts.netloc
    assert (parts.query, parts.fragment, parts.username) == ("", "", None)
    assert not url.endswith("/")
    assert not {".", ".."} & set(parts.path.split("/"))
    assert origin(url) + parts.path == url
    assert_host(parts.hostname or "")


def assert_host(host: str) -> None:
    if ":" in host:
        IPv6Address(host.partition("%")[0])
    elif re.search(r"(^|\.)([0-9]+|0x[0-9a-f]*)$", host):
        IPv4Address(host)
    else:
        assert re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", host)


@given(TYPED)
def test_no_port_is_added_and_none_is_lost(text: str) -> None:
    parts = urlsplit(parsed(text).url)
    authority = re.sub(r"^([a-zA-Z]+:)?//", "", text.strip()).partition("/")[0]
    typed = authority.rpartition("@")[2].rpartition("]")[2].partition(":")[2]
    assert parse_url(text).port == (int(typed) if typed else None)
    default = {"http": 80, "https": 443}[parts.scheme]
    expected = int(typed) if typed and int(typed) != default else None
    assert parts.port == expected


@given(ANYTHING | TYPED)
def test_the_default_port_is_suggested_for_the_same_url_where_none_was_typed(text: str) -> None:
    suggested = with_default_port(text)
    if suggested is None:
        return
    typed = parse_url(text)
    parts = urlsplit(suggested)
    assert (typed.port, parts.port) == (None, DEFAULT_PORT)
    assert suggested.replace(f":{DEFAULT_PORT}", "", 1) == typed.url
    assert parse_url(suggested).url == suggested


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=30), st.text())
def test_percent_encoded_credentials_come_through_whatever_they_are(user: str, secret: str) -> None:
    assume(all(not "\ud800" <= char <= "\udfff" for char in secret))
    text = f"https://{quote(user, safe='')}:{quote(secret, safe='')}@devbox/x"
    assume(len(text) < MAX_URL)
    parsed = parse_url(text)
    assert parsed.url == "https://devbox/x"
    assert parsed.username == user
    assert (parsed.password.reveal() if parsed.password else "") == secret


@given(
    st.from_regex(r"q7Zx[!-~é]{0,10}q7Zx", fullmatch=True),
    st.sampled_from(["http://user:{}@{}", "https://:{}@{}", "user:{}@{}", "ftp://u:{}@{}"]),
    ANYTHING | HOSTS | TYPED,
)
def test_a_password_is_in_no_error(secret: str, form: str, rest: str) -> None:
    assume("q7Zx" not in rest)
    try:
        new_profile(form.format(secret, rest), now=EPOCH)
    except InvalidInput as refused:
        cause = "" if refused.__suppress_context__ else repr(refused.__context__)
        text = f"{refused} {refused!r} {refused.value} {refused.__cause__!r} {cause}"
        assert "q7Zx" not in text


@given(TYPED, st.sampled_from(["", "/L2hvbWU/session/ses_1", "/api", "/global/health"]))
def test_a_base_url_is_normalized_shorter_and_of_the_same_server(text: str, path: str) -> None:
    url = parsed(text).url + path
    base = base_url(url)
    assert base is not None or not path
    if base is None:
        return
    assert parse_url(base).url == base
    assert url.startswith(f"{base}/")
    assert origin(base) == origin(url)


@given(
    st.from_regex(r"q7Zx[!-~é]{0,10}q7Zx", fullmatch=True),
    st.sampled_from(["{1}?auth_token={0}", "{1}/?{0}", "see {1}?{0} x", "ftp://h/?{0}&{1}"]),
    ANYTHING | HOSTS | TYPED,
)
def test_a_query_is_in_no_error(secret: str, form: str, rest: str) -> None:
    assume("q7Zx" not in rest)
    with pytest.raises(InvalidURL) as refused:
        parse_url(form.format(secret, rest))
    assert "q7Zx" not in visible_text(refused.value)


@given(ANYTHING | TYPED)
def test_a_suggestion_in_an_error_is_a_url_that_is_accepted(text: str) -> None:
    suggestion = suggestion_for(text)
    assert suggestion is None or parse_url(suggestion) == ParsedURL(
        url=suggestion, port=urlsplit(suggestion).port
    )


def suggestion_for(text: str) -> str | None:
    try:
        parse_url(text)
    except InvalidURL as refused:
        return refused.suggestion
    return None

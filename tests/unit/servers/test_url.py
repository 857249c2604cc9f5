"""The rules for a server's URL, by example."""

import pytest

from codewalk.errors import CodeWalkError, InvalidURL
from codewalk.servers.url import MAX_URL, base_url, origin, parse_url, strip_secrets
from tests.unit.servers.leaks import visible_text

NORMALIZED = {
    "trimmed": ("  http://devbox:4096\n", "http://devbox:4096"),
    "given a scheme": ("devbox:4096", "http://devbox:4096"),
    "given a scheme, by name alone": ("devbox", "http://devbox"),
    "given a scheme, as a relative reference": ("//devbox:4096", "http://devbox:4096"),
    "given a scheme, for an address": ("127.0.0.1:4096", "http://127.0.0.1:4096"),
    "given a scheme, for IPv6": ("[::1]:4096", "http://[::1]:4096"),
    "given a scheme, with a path": ("devbox:4096/opencode", "http://devbox:4096/opencode"),
    "scheme in lower case": ("HTTPS://devbox", "https://devbox"),
    "host in lower case, path as it is": ("http://DevBox:4096/Open", "http://devbox:4096/Open"),
    "without http's own port": ("http://devbox:80", "http://devbox"),
    "without https' own port": ("https://devbox:443/x", "https://devbox/x"),
    "with https' port on http": ("http://devbox:443", "http://devbox:443"),
    "with http's port on https": ("https://devbox:80", "https://devbox:80"),
    "without an empty port": ("http://devbox:", "http://devbox"),
    "with a port without leading zeros": ("http://devbox:04096", "http://devbox:4096"),
    "without a trailing slash": ("http://devbox/", "http://devbox"),
    "without trailing slashes": ("http://devbox/opencode///", "http://devbox/opencode"),
    "with dot segments resolved": ("http://h/a/./b/../c", "http://h/a/c"),
    "with encoded dot segments resolved": ("http://h/a/%2E%2e/c", "http://h/c"),
    "with nothing above the root": ("http://h/../../x", "http://h/x"),
    "with an inner double slash": ("http://h/a//b", "http://h/a//b"),
    "with escapes in upper case": ("http://h/%c3%a9", "http://h/%C3%A9"),
    "with other characters escaped": ("http://h/é", "http://h/%C3%A9"),
    "with a lone percent sign escaped": ("http://h/100%", "http://h/100%25"),
    "with an at sign in the path": ("http://h:4096/@me", "http://h:4096/@me"),
    "IPv6 in its short form": ("http://[0:0::0:1]:4096", "http://[::1]:4096"),
    "IPv6 in lower case": ("http://[FE80::ABCD]", "http://[fe80::abcd]"),
    "IPv6 with a zone": ("http://[fe80::1%eth0]:4096", "http://[fe80::1%25eth0]:4096"),
    "IPv6 with an escaped zone": ("http://[fe80::1%25eth0]", "http://[fe80::1%25eth0]"),
    "an address without its final dot": ("http://127.0.0.1.:4096", "http://127.0.0.1:4096"),
    "a name without its final dot": ("http://devbox.lan.", "http://devbox.lan"),
    "a name with an underscore": ("http://my_box", "http://my_box"),
    "an international name": ("http://bücher.example", "http://xn--bcher-kva.example"),
    "an international name in capitals": ("HTTP://BÜCHER.example", "http://xn--bcher-kva.example"),
    "an international name, escaped": (
        "http://b%C3%BCcher.example",
        "http://xn--bcher-kva.example",
    ),
    "punycode as it is": ("http://XN--bcher-kva.example", "http://xn--bcher-kva.example"),
    "a name in wide letters": ("http://ｄｅｖ．example", "http://dev.example"),
    "an address in wide digits": ("http://１２７.０.０.１", "http://127.0.0.1"),
    "an address to listen on": ("http://0.0.0.0:4096", "http://127.0.0.1:4096"),
    "an IPv6 address to listen on": ("http://[0::0]:4096/x", "http://[::1]:4096/x"),
    "a host named like a scheme": ("http://http/x", "http://http/x"),
    "a host named like a scheme, with a port": ("https:8080//x", "http://https:8080//x"),
    "an address, escaped": ("http://127.0.0.%31", "http://127.0.0.1"),
}

REFUSED = {
    "nothing": ("", "empty"),
    "white space alone": (" \t ", "empty"),
    "another scheme": ("ftp://devbox", "'ftp'"),
    "a scheme of another kind": ("javascript:alert(1)", "'javascript'"),
    "a file": ("file:///etc/passwd", "'file'"),
    "a scheme without its slashes": ("http:devbox", "two slashes"),
    "a scheme with one slash": ("https:/devbox", "two slashes"),
    "a scheme without its colon": ("http//h:4096", "mistyped '://'"),
    "a scheme without its colon, in capitals": ("HTTPS//h", "mistyped '://'"),
    "a scheme twice": ("http://http://h:4096", "mistyped '://'"),
    "two schemes": ("https://http://h:4096", "mistyped '://'"),
    "a scheme twice, once without its colon": ("http://http//h:4096", "mistyped '://'"),
    "a scheme twice and nothing else": ("http://http://", "mistyped '://'"),
    "a scheme for its host, escaped": ("http://%68ttp.:80/.//h", "mistyped '://'"),
    "a query": ("http://devbox?x=1", "query"),
    "an empty query": ("http://devbox/?", "query"),
    "a fragment": ("http://devbox/#x", "fragment"),
    "an empty fragment": ("http://devbox#", "fragment"),
    "a space inside": ("http://dev box", "white space"),
    "a tab inside": ("http://dev\tbox", "white space"),
    "a line break inside": ("http://devbox/\r\nHost: evil", "white space"),
    "a no-break space inside": ("http://dev\xa0box", "white space"),
    "a null": ("http://devbox/\x00", "control character"),
    "a C1 control character": ("http://devbox/\x9b", "control character"),
    "a backslash": ("http://devbox\\@evil", "backslash"),
    "a lone surrogate": ("http://devbox/\ud800", "invalid Unicode"),
    "no host": ("http://", "no host"),
    "no host but a port": ("http://:4096", "no host"),
    "no host but a path": ("http:///opencode", "no host"),
    "no host but a user": ("http://user@", "no host"),
    "a path alone": ("/opencode", "no host"),
    "port 0": ("http://devbox:0", "bad port"),
    "a port too high": ("http://devbox:65536", "bad port"),
    "a port that is a word": ("http://devbox:http", "bad port"),
    "a signed port": ("http://devbox:+80", "bad port"),
    "a port in other digits": ("http://devbox:８０", "bad port"),
    "IPv6 without brackets": ("http://::1:4096", "without brackets"),
    "IPv6 without brackets or scheme": ("fe80::1", "without brackets"),
    "brackets around a name": ("http://[devbox]", "can't be read"),
    "brackets that don't close": ("http://[::1", "can't be read"),
    "something after the brackets": ("http://[::1]x", "brackets"),
    "an address out of range": ("http://256.0.0.1", "bad IPv4"),
    "an address in short form": ("http://127.1", "bad IPv4"),
    "an address as one number": ("http://2130706433", "bad IPv4"),
    "an address in octal": ("http://0177.0.0.1", "bad IPv4"),
    "an address in hexadecimal": ("http://0x7f000001", "bad IPv4"),
    "an address in wide digits and octal": ("http://１２７.０.０.０１", "bad IPv4"),
    "an address in escaped octal": ("http://127.0.0.%30%31", "bad IPv4"),
    "one wide digit": ("http://１", "bad IPv4"),
    "an empty label": ("http://dev..box", "bad host name"),
    "a label with a final hyphen": ("http://dev-.box", "bad host name"),
    "a label too long": (f"http://{'a' * 64}.box", "bad host name"),
    "an escaped slash in the host": ("http://dev%2Fbox", "bad host name"),
    "an escaped at sign in the host": ("http://good%40evil", "bad host name"),
    "a bad international name": ("http://☃\u200d.example", "bad"),
    "a look-alike of a slash": ("http://evil.com⁄x.example", "bad international"),
    "user name that isn't UTF-8": ("http://%FF:x@devbox", "UTF-8"),
    "password that isn't UTF-8": ("http://user:%FF@devbox", "UTF-8"),
    "over the limit": ("http://devbox/" + "a" * MAX_URL, "2,048"),
    "over the limit once escaped": ("http://devbox/" + "é" * 1000, "2,048"),
}  # fmt: skip


@pytest.mark.parametrize(("typed", "normalized"), NORMALIZED.values(), ids=NORMALIZED)
def test_a_url_is_normalized(typed: str, normalized: str) -> None:
    parsed = parse_url(typed)
    assert parsed.url == normalized
    assert (parsed.username, parsed.password) == (None, None)


@pytest.mark.parametrize(("typed", "why"), REFUSED.values(), ids=REFUSED)
def test_a_url_is_refused_saying_what_is_wrong_and_how_it_should_look(typed: str, why: str) -> None:
    with pytest.raises(InvalidURL, match=why) as refused:
        parse_url(typed)
    assert "expected something like http://devbox:4096" in refused.value.message
    assert refused.value.code == "invalid_url"
    assert len(refused.value.message) < 500


def test_the_longest_url_is_accepted() -> None:
    longest = "http://devbox/".ljust(MAX_URL, "a")
    assert parse_url(longest).url == longest


CREDENTIALS = {
    "both": ("http://user:secret@h", "user", "secret"),
    "without a scheme": ("user:secret@h:4096/x", "user", "secret"),
    "a user alone": ("http://user@h", "user", None),
    "a user and nothing after the colon": ("http://user:@h", "user", None),
    "a password alone": ("http://:secret@h", None, "secret"),
    "neither": ("http://:@h", None, None),
    "nothing before the at sign": ("http://@h", None, None),
    "a colon in the password": ("http://user:a:b@h", "user", "a:b"),
    "an at sign in the password": ("http://user:a@b@h", "user", "a@b"),
    "escapes": ("http://us%3Aer:a%2Fb%40%C3%A9@h", "us:er", "a/b@é"),
    "other scripts": ("http://юзер:пароль@h", "юзер", "пароль"),
}


@pytest.mark.parametrize(("typed", "user", "password"), CREDENTIALS.values(), ids=CREDENTIALS)
def test_credentials_are_taken_out_of_a_url(
    typed: str, user: str | None, password: str | None
) -> None:
    parsed = parse_url(typed)
    assert parsed.username == user
    assert (parsed.password.reveal() if parsed.password else None) == password
    assert "@" not in parsed.url
    assert parsed.url in ("http://h", "http://h:4096/x")


@pytest.mark.parametrize(
    "typed",
    [
        "ftp://user:s3cr3t@h",
        "http://user:s3cr3t\uff20h",
        "http://user:s3cr3t\ufe6bh",
        "http://user:s3cr3t@",
        "http://user:s3cr3t@h?x",
        "http://user:s3cr3t@h:99999",
        "http://user:s3 cr3t@h".replace("s3 ", "x s3"),
        "http://user:x\\s3cr3t@h",
        "http://user:s3cr3t@exa℀mple.com",
        "http://user:s3cr3t/x@h:4096",
        "http://user:x/s3cr3t@h:4096x",
        "http://user:x#s3cr3t@h",
        "http://user:s3cr3t?x@h",
        "http://user:[s3cr3t@h",
        "http://us[er:s3cr3t]@h",
        "http://[s3cr3t]/x@h",
        "http://s3cr3t!ö/x@h",
        "http://s3cr3t.1/x@h",
        "user:s3cr3t@h:port",
        "http:user:s3cr3t@h",
        "http://user:s3cr3t@" + "h" * 300,
        "http://user:" + "s3cr3t" * 400 + "@h",
    ],
)
def test_a_refused_url_never_repeats_a_password(typed: str) -> None:
    with pytest.raises(CodeWalkError) as refused:
        parse_url(typed)
    assert "s3cr3t" not in visible_text(refused.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h", "http://h"),
        ("https://h:4096/opencode/x", "https://h:4096"),
        ("http://[fe80::1%25eth0]:1/x", "http://[fe80::1%25eth0]:1"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, expected: str) -> None:
    assert origin(url) == expected


def test_two_spellings_of_a_path_are_one_server() -> None:
    assert parse_url("http://box/%63ode%7ewalk").url == parse_url("http://box/code~walk").url
    assert parse_url("http://box/a%2fb").url == "http://box/a%2Fb"


@pytest.mark.parametrize(
    ("typed", "suggestion"),
    [
        ("opencode server listening on http://127.0.0.1:4096", "http://127.0.0.1:4096"),
        ("opencode server listening on http://0.0.0.0:4096\n\nDone", "http://127.0.0.1:4096"),
        ("Web interface:  http://devbox:4096/L2hvbWU/session.", "http://devbox:4096"),
        ("http//h:4096", "http://h:4096"),
        ("http://http://h:4096", "http://h:4096"),
        ("http://https//h:4096/up/", "https://h:4096/up"),
        ("http://h:4096/?auth_token=s3cr3t", "http://h:4096"),
        ("http://h:4096/L2hvbWU/session?auth_token=s3cr3t#x", "http://h:4096"),
        ("http://h/up#x", "http://h/up"),
        # Two URLs, none, or credentials, which no message repeats.
        ("http://a:1 http://b:2", None),
        ("dev box", None),
        ("http://http://", None),
        ("see http://me:s3cr3t@h:4096 there", None),
        ("http://me:s3cr3t@http://h", None),
        ("ftp://h", None),
        ("", None),
    ],
)
def test_a_refused_text_suggests_the_url_that_is_in_it(typed: str, suggestion: str | None) -> None:
    with pytest.raises(InvalidURL) as refused:
        parse_url(typed)
    assert refused.value.suggestion == suggestion
    assert refused.value.message.endswith(f" Is it {suggestion}?" if suggestion else ".")
    assert "s3cr3t" not in visible_text(refused.value)


@pytest.mark.parametrize(
    "typed",
    [
        "http://h:4096/?auth_token=s3cr3t",
        "h:4096?s3cr3t",
        "http://h/#s3cr3t",
        "http://h?auth_token=s3 s3cr3t",
        "http://h:x?auth_token=s3cr3t",
        "ftp://h?auth_token=s3cr3t",
        "http://h?a=b@c&auth_token=s3cr3t",
        "http://u:p@h?auth_token=s3cr3t",
        "http://h\uff1fauth_token=s3cr3t",
        "http:h?s3cr3t",
        "http//h?s3cr3t",
        "javascript:x?s3cr3t",
        "http://[h?s3cr3t]",
        "see http://h?auth_token=s3cr3t for more",
    ],
)
def test_a_refused_url_never_repeats_its_query(typed: str) -> None:
    with pytest.raises(CodeWalkError) as refused:
        parse_url(typed)
    assert "s3cr3t" not in visible_text(refused.value)
    assert "s3cr3t" not in strip_secrets(typed)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://h:4096/L2hvbWU/session/ses_1", "http://h:4096"),
        ("http://h:4096/L2hvbWUvZGV2L3Byb2plY3Q/session", "http://h:4096"),
        ("http://h:4096/L2hvbWU", "http://h:4096"),
        ("http://h:4096/QzpcVXNlcnNcbWU/session/ses_1", "http://h:4096"),
        ("http://h:4096/api", "http://h:4096"),
        ("http://h:4096/global/health", "http://h:4096"),
        ("http://h:4096/doc", "http://h:4096"),
        ("https://h/up/session/ses_1/message", "https://h/up"),
        ("http://[::1]:4096/a/b/L2hvbWU/session", "http://[::1]:4096/a/b"),
        ("http://h:4096", None),
        ("http://h/opencode", None),
        ("http://h/sessions/Health", None),
        ("http://h/L2", None),
    ],
)
def test_the_base_url_is_what_comes_before_a_page_or_an_endpoint(
    url: str, base: str | None
) -> None:
    assert base_url(url) == base

"""Which hosts are ours, and which requests come from our own pages."""

import pytest
from starlette.datastructures import Headers

from codewalk.secret import Secret
from codewalk.web.access import Access, browser_port, cookie_name
from codewalk.web.security import browser_scheme, is_same_origin

PORT = 4090


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:4090", True),
        ("localhost:4090", True),
        ("LocalHost:4090", True),
        ("[::1]:4090", True),
        ("devbox:4090", True),
        ("[fe80::1]:4090", True),
        ("proxy:8443", True),
        # Behind a tunnel, whose port is another.
        ("127.0.0.1:5299", True),
        ("LOCALHOST:80", True),
        ("127.0.0.1", True),
        ("[::1]", True),
        # Named by `--allow-host`, without a port and with one.
        ("codewalk.example", True),
        ("CodeWalk.example:8443", True),
        ("walk.example:8443", True),
        ("walk.example", False),
        ("walk.example:8444", False),
        ("codewalk.example.evil.example", False),
        ("evil.codewalk.example", False),
        ("codewalk.example:x", False),
        ("devbox:4091", False),
        ("devbox", False),
        ("127.0.0.2:4090", False),
        ("127.0.0.1.evil.example:4090", False),
        ("127.0.0.1:", False),
        ("::1:4090", False),
        ("localhost.evil.example:4090", False),
        ("127.0.0.1:4090.evil.example", False),
        ("127.0.0.1:4090@evil.example:4090", False),
        ("evil.example:4090", False),
        ("proxy:4091", False),
        ("192.0.2.1:4090", False),
        (":4090", False),
        ("", False),
        ("devbox:" + "9" * 5000, False),
        ("devbox:٤٠٩٠", False),
    ],
)
def test_hosts(host: str, allowed: bool) -> None:
    access = Access(
        Secret("t"),
        ["devbox", "fe80::1", "proxy:8443"],
        allowed_hosts=["codewalk.example", "walk.example:8443"],
    )
    assert access.is_allowed_host(host, PORT) is allowed


def test_at_port_80_the_host_has_no_port() -> None:
    assert Access(Secret("t"), []).is_allowed_host("localhost", 80)


def test_listening_everywhere_any_address_is_ours_but_no_name() -> None:
    access = Access(Secret("t"), ["0.0.0.0"])
    assert access.is_allowed_host("192.0.2.1:4090", PORT)
    assert access.is_allowed_host("[2001:db8::1]:4090", PORT)
    assert not access.is_allowed_host("evil.example:4090", PORT)


def test_an_empty_token_is_no_token() -> None:
    with pytest.raises(ValueError, match="empty"):
        Access(Secret(""), [])


def test_a_token_beyond_ascii_is_compared_as_it_was_sent() -> None:
    access = Access(Secret("tökén"), [])
    sent = Headers(raw=[(b"authorization", "Bearer tökén".encode())])
    assert access.has_valid_token(sent) is True
    assert access.has_valid_token(Headers({"authorization": "Bearer t"})) is False
    assert access.has_valid_token(Headers({"authorization": "Basic t"})) is None


def test_a_cookie_is_valid_for_one_app_and_read_among_others() -> None:
    access, other = Access(Secret("one"), []), Access(Secret("two"), [])
    from starlette.responses import Response

    response = Response()
    access.set_cookie(response, PORT)
    pair = response.headers["set-cookie"].partition(";")[0]
    assert pair.startswith(f"{cookie_name(PORT)}=")
    headers = Headers({"cookie": f'a=1; bad"; {pair}; z=[]'})
    assert access.has_valid_cookie(headers, PORT)
    assert not access.has_valid_cookie(headers, PORT + 1)
    assert not other.has_valid_cookie(headers, PORT)
    assert not access.has_valid_cookie(Headers({"cookie": f"{cookie_name(PORT)}="}), PORT)


@pytest.mark.parametrize(
    ("host", "scheme", "port"),
    [
        ("127.0.0.1:5299", "http", 5299),
        ("[::1]:5299", "http", 5299),
        ("localhost", "http", 80),
        ("codewalk.example", "https", 443),
        ("codewalk.example:8443", "https", 8443),
    ],
)
def test_a_browser_uses_the_port_of_its_host_header(host: str, scheme: str, port: int) -> None:
    assert browser_port(host, scheme) == port


@pytest.mark.parametrize(
    ("peer", "forwarded", "scheme"),
    [
        ("127.0.0.1", "https", "https"),
        ("::1", "HTTPS", "https"),
        ("::ffff:127.0.0.1", "https", "https"),
        ("127.0.0.1", "http, https", "https"),
        ("127.0.0.1", "https, http", "http"),
        ("127.0.0.1", "", "http"),
        ("127.0.0.1", "ftp", "http"),
        ("192.0.2.7", "https", "http"),
        ("::ffff:192.0.2.7", "https", "http"),
        ("", "https", "http"),
    ],
)
def test_only_a_proxy_on_this_machine_says_that_the_browser_uses_https(
    peer: str, forwarded: str, scheme: str
) -> None:
    headers = [(b"x-forwarded-proto", forwarded.encode())]
    scope = {"type": "http", "headers": headers, "client": (peer, 50_000) if peer else None}
    assert browser_scheme(scope) == scheme


def test_behind_https_the_origin_is_compared_with_https() -> None:
    headers = Headers({"origin": "https://codewalk.example", "host": "codewalk.example"})
    assert is_same_origin(headers, "https")
    assert not is_same_origin(headers, "http")


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-site", "origin": "http://h:1", "host": "h:1"}, False),
        ({"origin": "http://h:1", "host": "h:1"}, True),
        ({"origin": "https://h:1", "host": "h:1"}, False),
        ({"origin": "http://h:2", "host": "h:1"}, False),
        ({"host": "h:1"}, False),
        ({}, False),
    ],
)
def test_same_origin(headers: dict[str, str], same: bool) -> None:
    assert is_same_origin(Headers(headers)) is same


def test_an_invitation_lets_one_browser_in_once() -> None:
    access = Access(Secret("t"), [])
    invitation = access.create_invitation().reveal().encode()
    assert not access.is_token(invitation)
    assert access.accept_login(invitation)
    assert not access.accept_login(invitation)
    assert access.accept_login(b"t")


def test_an_invitation_that_is_not_used_expires() -> None:
    moments = iter([0.0, 61.0])
    access = Access(Secret("t"), [], clock=lambda: next(moments))
    assert not access.accept_login(access.create_invitation().reveal().encode())


def test_without_an_invitation_nothing_is_one() -> None:
    assert not Access(Secret("t"), []).accept_login(b"")

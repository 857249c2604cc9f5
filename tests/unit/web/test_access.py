"""Which hosts are ours, and which requests come from our own pages."""

import pytest
from starlette.datastructures import Headers

from codewalk.secret import Secret
from codewalk.web.access import Access, cookie_name
from codewalk.web.security import is_same_origin

PORT = 4090


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:4090", True),
        ("localhost:4090", True),
        ("LocalHost:4090", True),
        ("[::1]:4090", True),
        ("devbox:4090", True),
        ("[fe80::1]:4090", True),
        ("proxy:8443", True),
        ("127.0.0.1:4091", False),
        ("127.0.0.1", False),
        ("[::1]", False),
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
def test_hosts(host: str, known: bool) -> None:
    access = Access(Secret("t"), ["devbox", "fe80::1", "proxy:8443"])
    assert access.is_allowed_host(host, PORT) is known


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


def test_one_apps_cookie_opens_no_other_and_is_found_among_others() -> None:
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


def test_an_invitation_that_nobody_followed_ends() -> None:
    moments = iter([0.0, 61.0])
    access = Access(Secret("t"), [], clock=lambda: next(moments))
    assert not access.accept_login(access.create_invitation().reveal().encode())


def test_without_an_invitation_nothing_is_one() -> None:
    assert not Access(Secret("t"), []).accept_login(b"")

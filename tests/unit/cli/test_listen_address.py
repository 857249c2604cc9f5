"""The address that the app listens on, and the URL to open it at."""

import socket
from contextlib import closing
from ipaddress import ip_address

import pytest

from codewalk.cli.errors import UsageMistake
from codewalk.cli.listen_address import (
    ListenAddress,
    listen,
    parse_allowed_hosts,
    resolve_address,
)
from codewalk.errors import AddressUnavailable
from codewalk.secret import Secret


def make_address(host: str, ip: str) -> ListenAddress:
    return ListenAddress(host=host, port=4090, ip=ip_address(ip))


@pytest.mark.parametrize(
    ("host", "ip", "url"),
    [
        ("127.0.0.1", "127.0.0.1", "http://127.0.0.1:4090/"),
        ("localhost", "127.0.0.1", "http://localhost:4090/"),
        ("::1", "::1", "http://[::1]:4090/"),
        ("0.0.0.0", "0.0.0.0", "http://127.0.0.1:4090/"),
        ("::", "::", "http://[::1]:4090/"),
        ("192.0.2.7", "192.0.2.7", "http://192.0.2.7:4090/"),
    ],
)
def test_url_can_be_opened_by_a_browser_on_this_machine(host: str, ip: str, url: str) -> None:
    assert make_address(host, ip).url == url


def test_token_is_percent_encoded_in_the_url() -> None:
    url = make_address("127.0.0.1", "127.0.0.1").url_with(Secret("a&b=c/ü #"))
    assert url == "http://127.0.0.1:4090/?token=a%26b%3Dc%2F%C3%BC%20%23"


@pytest.mark.parametrize(
    ("ip", "loopback"),
    [("127.0.0.1", True), ("127.3.2.1", True), ("::1", True), ("0.0.0.0", False), ("::", False)],
)
def test_only_loopback_addresses_are_loopback(ip: str, loopback: bool) -> None:
    assert make_address(ip, ip).is_loopback is loopback


def test_host_names_include_this_machines_where_it_listens_everywhere() -> None:
    assert socket.gethostname() in make_address("0.0.0.0", "0.0.0.0").hosts()
    assert make_address("127.0.0.1", "127.0.0.1").hosts() == ("127.0.0.1",)


def test_brackets_around_an_ipv6_address_are_allowed() -> None:
    assert resolve_address("[::1]", 4090) == make_address("::1", "::1")


def test_port_0_gives_a_free_port_that_accepts_connections() -> None:
    sock, address = listen(resolve_address("127.0.0.1", 0))
    with closing(sock), socket.create_connection(("127.0.0.1", address.port), timeout=5):
        assert address.port > 0


def test_port_in_use_is_refused() -> None:
    sock, address = listen(resolve_address("127.0.0.1", 0))
    with closing(sock), pytest.raises(AddressUnavailable, match=f"Port {address.port}.*taken"):
        listen(address)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "a" * 300])
def test_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(AddressUnavailable, match="no address of this machine"):
        listen(resolve_address(host, 0))


def test_empty_host_is_refused() -> None:
    with pytest.raises(AddressUnavailable, match="empty"):
        resolve_address("", 4090)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("codewalk.example", "codewalk.example"),
        (" CodeWalk.Example. ", "codewalk.example"),
        ("codewalk.example:8443", "codewalk.example:8443"),
        ("codewalk.example:80", "codewalk.example:80"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("192.0.2.7", "192.0.2.7"),
        ("[FE80::1]:4090", "[fe80::1]:4090"),
    ],
)
def test_an_allowed_host_is_read_as_browsers_send_it(text: str, host: str) -> None:
    assert parse_allowed_hosts("--allow-host", [text]) == [host]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "*.example",
        "https://h",
        "h/path",
        "h/",
        "u:secret@h",
        "h:0",
        "a b",
        "a,b",
        "fe80::1",
    ],
)
def test_what_is_no_host_name_is_not_allowed_as_one(text: str) -> None:
    with pytest.raises(UsageMistake, match="CODEWALK_ALLOWED_HOSTS takes host names") as caught:
        parse_allowed_hosts("CODEWALK_ALLOWED_HOSTS", ["codewalk.example", text])
    assert "secret" not in caught.value.message

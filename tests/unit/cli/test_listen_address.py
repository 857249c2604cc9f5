"""Where the app listens, and what people open."""

import socket
from contextlib import closing
from ipaddress import ip_address

import pytest

from codewalk.cli.listen_address import ListenAddress, listen, resolve_address
from codewalk.errors import AddressUnavailable
from codewalk.secret import Secret


def an_address(host: str, ip: str) -> ListenAddress:
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
def test_the_url_is_one_that_a_browser_on_this_machine_can_open(
    host: str, ip: str, url: str
) -> None:
    assert an_address(host, ip).url == url


def test_a_token_of_any_characters_goes_into_the_url() -> None:
    url = an_address("127.0.0.1", "127.0.0.1").url_with(Secret("a&b=c/ü #"))
    assert url == "http://127.0.0.1:4090/?token=a%26b%3Dc%2F%C3%BC%20%23"


@pytest.mark.parametrize(
    ("ip", "loopback"),
    [("127.0.0.1", True), ("127.3.2.1", True), ("::1", True), ("0.0.0.0", False), ("::", False)],
)
def test_only_loopback_is_loopback(ip: str, loopback: bool) -> None:
    assert an_address(ip, ip).is_loopback is loopback


def test_listening_everywhere_it_is_known_by_this_machine_s_name_too() -> None:
    assert socket.gethostname() in an_address("0.0.0.0", "0.0.0.0").hosts()
    assert an_address("127.0.0.1", "127.0.0.1").hosts() == ("127.0.0.1",)


def test_brackets_around_an_ipv6_address_are_allowed() -> None:
    assert resolve_address("[::1]", 4090) == an_address("::1", "::1")


def test_port_0_takes_a_free_one_that_can_be_connected_to() -> None:
    sock, address = listen(resolve_address("127.0.0.1", 0))
    with closing(sock), socket.create_connection(("127.0.0.1", address.port), timeout=5):
        assert address.port > 0


def test_a_taken_port_is_said_to_be_taken() -> None:
    sock, address = listen(resolve_address("127.0.0.1", 0))
    with closing(sock), pytest.raises(AddressUnavailable, match=f"Port {address.port}.*taken"):
        listen(address)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "a" * 300])
def test_what_is_no_address_of_this_machine_is_refused(host: str) -> None:
    with pytest.raises(AddressUnavailable, match="no address of this machine"):
        listen(resolve_address(host, 0))


def test_an_empty_host_is_refused_instead_of_meaning_every_address() -> None:
    with pytest.raises(AddressUnavailable, match="empty"):
        resolve_address("", 4090)

"""The routes of this machine to servers."""

import socket

import pytest

from codewalk.health.network import has_route, is_loopback


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4096",
        "http://127.8.9.10",
        "http://[::1]:4096/opencode",
        "http://localhost",
        "https://dev.localhost:4096",
    ],
)
def test_a_server_on_this_machine_is_on_loopback(url: str) -> None:
    assert is_loopback(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1:4096",
        "http://[2001:db8::1]",
        "http://[fe80::1%25eth0]:4096",
        "http://localhost.example.com",
        "http://notlocalhost",
        "http://0.0.0.0",
    ],
)
def test_a_server_on_another_machine_is_not_on_loopback(url: str) -> None:
    assert not is_loopback(url)


async def test_there_is_a_route_to_this_machine_and_looking_it_up_does_not_block() -> None:
    assert has_route("http://127.0.0.1:4096")


def test_there_is_no_route_through_a_missing_interface() -> None:
    assert not has_route("http://[fe80::1%25none0]:4096")


def test_the_zone_of_an_address_is_read_as_urls_write_it() -> None:
    # The one interface that every machine has.
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    assert has_route(f"http://[::1%25{loopback}]:4096")

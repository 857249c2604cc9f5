"""Responses of proxies and tunnels in front of a server, by example."""

import pytest
from yarl import URL

from codewalk.opencode.gateway import gateway_failure
from codewalk.opencode.response import make_response
from codewalk.reason import Reason


@pytest.mark.parametrize(
    ("status", "server", "detail"),
    [
        (502, "nginx/1.25.3", "nginx in front of h:80 can't reach the server behind it"),
        (504, "Caddy", "Caddy in front of h:80 can't reach the server behind it"),
        (502, "cloudflare", "Cloudflare in front of h:80 can't reach the server behind it"),
        (530, "", "Cloudflare in front of h:80 can't reach the server behind it"),
        (502, "", "A proxy or tunnel in front of h:80 can't reach the server behind it"),
        (502, "<b>evil</b>", "A proxy or tunnel in front of h:80 can't reach the server behind it"),
    ],
)
def test_a_proxy_that_cannot_reach_the_server_is_named(
    status: int, server: str, detail: str
) -> None:
    headers = {"Server": server, "Content-Type": "text/html"}
    response = make_response(URL("http://h/path"), status, headers, b"<html>")
    failure = gateway_failure(response, host_port="h:80")
    assert failure
    assert (failure.reason, failure.status) == (Reason.SERVER_ERROR, status)
    assert failure.detail == f"{detail} (status {status})."


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (502, "application/json", b"{}"),
        (500, "text/html", b""),
        (503, "text/html", b""),
        (404, "text/html", b""),
        (400, "text/html", b"<h1>400 Bad Request</h1>"),
        (400, "text/html", b" " * 5000 + b"Client sent an HTTP request to an HTTPS server"),
        (404, "text/plain", b"Client sent an HTTP request to an HTTPS server"),
    ],
)
def test_any_other_response_is_the_servers_own(status: int, content_type: str, body: bytes) -> None:
    headers = {"Server": "nginx", "Content-Type": content_type}
    response = make_response(URL("http://h/path"), status, headers, body)
    assert gateway_failure(response, host_port="h:80") is None

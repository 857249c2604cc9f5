"""The failures that something in front of a server reports: a TLS port, a proxy or a tunnel."""

from typing import Final

from codewalk.errors import RequestFailed
from codewalk.opencode.response import Response
from codewalk.reason import Reason

USES_TLS: Final = "{host_port} uses TLS; try https:// instead of http://."
"""The detail for a plain request to a TLS port."""

_TLS_RECORDS: Final = (r"b'\x15\x03", r"b'\x16\x03")
"""A TLS alert or handshake, as the HTTP parser's error quotes the bytes of a bad response."""

_PLAIN_HTTP_TO_TLS: Final = (
    b"plain HTTP request was sent to HTTPS port",
    b"Client sent an HTTP request to an HTTPS server",
    b"speaking plain HTTP to an SSL-enabled server port",
)
"""The responses of nginx, Go and Apache, with status 400, to a plain request at a TLS port."""

_UNREACHABLE_BEHIND: Final = frozenset({502, 504, *range(520, 528), 530})
"""Statuses of a proxy that doesn't get a response from the server behind it."""

_CLOUDFLARE_ONLY: Final = range(520, 531)

_PRODUCTS: Final = {"cloudflare": "Cloudflare", "nginx": "nginx", "caddy": "Caddy"}
"""Names of proxies and tunnels, by the start of their `Server` header in lower case."""

_MAX_SEARCHED: Final = 4096
"""Bytes of a body in which a message is looked for."""


def is_tls_record(message: str) -> bool:
    """Return whether the HTTP parser's error message quotes the beginning of TLS."""
    return any(record in message for record in _TLS_RECORDS)


def gateway_failure(response: Response, *, host_port: str) -> RequestFailed | None:
    """Return the failure that comes from something in front of the server, None for any other.

    Args:
        response: A response that isn't 2xx.
        host_port: The server's host and port.
    """
    status = response.status
    head = response.body[:_MAX_SEARCHED]
    if status == 400 and any(message in head for message in _PLAIN_HTTP_TO_TLS):
        return RequestFailed(Reason.TLS, USES_TLS.format(host_port=host_port), status=status)
    # What is JSON may be OpenCode's own.
    if status not in _UNREACHABLE_BEHIND or response.content_type == "application/json":
        return None
    detail = (
        f"{_product(response)} in front of {host_port} can't reach the server behind it "
        f"(status {status})."
    )
    return RequestFailed(Reason.SERVER_ERROR, detail, status=status)


def _product(response: Response) -> str:
    server = response.headers.get("Server", "").lower()
    for prefix, product in _PRODUCTS.items():
        if server.startswith(prefix):
            return product
    return "Cloudflare" if response.status in _CLOUDFLARE_ONLY else "A proxy or tunnel"

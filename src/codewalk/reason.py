"""What a check says of a server: its state, and the reason for it."""

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Green means usable, red says why, grey means not known."""

    HEALTHY = "healthy"
    UNKNOWN = "unknown"
    UNHEALTHY = "unhealthy"


class Reason(StrEnum):
    """Why a server is in its state."""

    OK = "ok"
    UNCHECKED = "unchecked"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    DNS = "dns"
    TLS = "tls"
    UNREACHABLE = "unreachable"
    AUTH_REQUIRED = "auth_required"
    AUTH_REJECTED = "auth_rejected"
    NOT_OPENCODE = "not_opencode"
    SERVER_ERROR = "server_error"
    INCOMPATIBLE = "incompatible"
    OFFLINE = "offline"


TRANSPORT_FAILURES: Final = frozenset(
    {Reason.REFUSED, Reason.TIMEOUT, Reason.DNS, Reason.TLS, Reason.UNREACHABLE}
)
"""Failures below HTTP. One alone may be a hiccup; a definite answer never is."""


NO_ANSWER: Final = frozenset({Reason.REFUSED, Reason.TIMEOUT, Reason.UNREACHABLE})
"""The host may be right and the port wrong."""

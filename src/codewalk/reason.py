"""The vocabulary of a check's result: a server's state and the reason for it."""

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """The state of a server: whether it can be used."""

    HEALTHY = "healthy"
    UNKNOWN = "unknown"
    UNHEALTHY = "unhealthy"


class Reason(StrEnum):
    """The reason for the state of a server."""

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
    BUSY = "busy"
    REPORTS_UNHEALTHY = "reports_unhealthy"


TRANSPORT_FAILURES: Final = frozenset(
    {Reason.REFUSED, Reason.TIMEOUT, Reason.DNS, Reason.TLS, Reason.UNREACHABLE}
)
"""Failures below HTTP: a single one may be a fault of the network on the way."""

UNDECIDED: Final = frozenset({Reason.UNCHECKED, Reason.OFFLINE, Reason.BUSY})
"""Reasons that don't say whether the server works: its state is `unknown`."""

NO_ANSWER: Final = frozenset({Reason.REFUSED, Reason.TIMEOUT, Reason.UNREACHABLE})
"""Failures in which nothing answers at the port: the host may be right and the port wrong."""

NOT_REACHED: Final = NO_ANSWER | {Reason.DNS}
"""Failures in which a proxy might have reached the server."""

CLOSED_WITHOUT_ANSWER: Final = "closed the connection without an answer"
"""The words of a detail for what a server of TLS, among others, does with a plain request."""

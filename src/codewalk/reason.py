"""The vocabulary of a check's result: a server's state and the reason for it."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
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


REASON_SENTENCES: Final[Mapping[Reason, str]] = MappingProxyType(
    {
        Reason.OK: "Ready to use.",
        Reason.UNCHECKED: "Not checked yet.",
        Reason.REFUSED: "Nothing listens at this address.",
        Reason.TIMEOUT: "No answer in time.",
        Reason.DNS: "The host name can't be resolved.",
        Reason.TLS: "No secure connection could be made.",
        Reason.UNREACHABLE: "The server can't be reached.",
        Reason.AUTH_REQUIRED: "The server asks for a password, and none is stored.",
        Reason.AUTH_REJECTED: "The server refused the stored user name or password.",
        Reason.NOT_OPENCODE: "This is not an OpenCode server.",
        Reason.SERVER_ERROR: "The server answered with an error.",
        Reason.INCOMPATIBLE: "CodeWalk can't talk to this OpenCode release.",
        Reason.OFFLINE: "This machine has no network.",
        Reason.BUSY: "The server is busy and is asked again later.",
        Reason.REPORTS_UNHEALTHY: "The server reports that it isn't healthy.",
    }
)
"""The sentence for each reason, for a status that has no detail of its own."""

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

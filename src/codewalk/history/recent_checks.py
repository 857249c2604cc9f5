"""The last checks of one server, packed small enough to hold them for ten thousand servers.

A check is 12 bytes: the milliseconds since 1970 with a number for the reason, and the latency in
microseconds. As objects, ninety would take 10 KB a server.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from struct import Struct
from types import MappingProxyType
from typing import Final

from codewalk.history.check_bar import CheckMark
from codewalk.history.history import MAX_RECENT_CHECKS, Check
from codewalk.history.period import EPOCH
from codewalk.reason import Reason

REASON_CODES: Final[Mapping[Reason, int]] = MappingProxyType(
    {
        Reason.OK: 0,
        Reason.REFUSED: 1,
        Reason.TIMEOUT: 2,
        Reason.DNS: 3,
        Reason.TLS: 4,
        Reason.UNREACHABLE: 5,
        Reason.AUTH_REQUIRED: 6,
        Reason.AUTH_REJECTED: 7,
        Reason.NOT_OPENCODE: 8,
        Reason.SERVER_ERROR: 9,
        Reason.INCOMPATIBLE: 10,
        Reason.OFFLINE: 11,
        Reason.UNCHECKED: 12,
        Reason.BUSY: 13,
        Reason.REPORTS_UNHEALTHY: 14,
    }
)
"""The stored number of each reason. Stores hold them, so a number never changes."""

_REASONS: Final = MappingProxyType({number: reason for reason, number in REASON_CODES.items()})
_OK: Final = Reason.OK  # looked up once: see the recorder
_CHECK: Final = Struct("<QI")
PACKED_CHECK_BYTES: Final = _CHECK.size
_NO_LATENCY: Final = 2**32 - 1
_MILLISECOND: Final = timedelta(milliseconds=1)
_MAX_MS: Final = (datetime.max.replace(tzinfo=UTC) - EPOCH) // _MILLISECOND
"""The last time that a `datetime` can hold, in milliseconds since 1970: a store may be damaged."""


class RecentChecks:
    """The last `MAX_RECENT_CHECKS` checks, packed, in a ring.

    `packed` holds the checks to begin with, as `take_unsaved` returned them.
    """

    __slots__ = ("_count", "_ring", "_saved")

    def __init__(self, packed: bytes = b"") -> None:
        last = packed[len(packed) % PACKED_CHECK_BYTES :][-MAX_RECENT_CHECKS * PACKED_CHECK_BYTES :]
        self._ring = bytearray(last.ljust(MAX_RECENT_CHECKS * PACKED_CHECK_BYTES, b"\0"))
        self._count = self._saved = len(last) // PACKED_CHECK_BYTES

    def add(self, at_ms: int, reason: Reason, latency_us: int | None) -> None:
        """Add a check, at milliseconds since 1970."""
        number = 0 if reason is _OK else REASON_CODES[reason]
        latency = _NO_LATENCY if latency_us is None else min(latency_us, _NO_LATENCY - 1)
        _CHECK.pack_into(
            self._ring,
            self._count % MAX_RECENT_CHECKS * PACKED_CHECK_BYTES,
            at_ms << 8 | number,
            latency,
        )
        self._count += 1

    def repeats(self, at_ms: int, reason: Reason, *, within_ms: float) -> bool:
        """Return whether a failure with this reason was added since the last good check.

        Only the checks that came less than `within_ms` before this one count: two reasons that
        alternate repeat each other too.
        """
        code = REASON_CODES[reason]
        for number in range(self._count - 1, max(self._count - MAX_RECENT_CHECKS, 0) - 1, -1):
            offset = number % MAX_RECENT_CHECKS * PACKED_CHECK_BYTES
            head: int = _CHECK.unpack_from(self._ring, offset)[0]
            if not 0 <= at_ms - (head >> 8) < within_ms:
                return False
            if head & 0xFF in (code, REASON_CODES[_OK]):
                return head & 0xFF == code
        return False

    def take_unsaved(self) -> bytes:
        """Return the checks since the last call, packed, as far as they are still in the ring."""
        unsaved, self._saved = self._count - self._saved, self._count
        return self._packed()[-unsaved * PACKED_CHECK_BYTES :] if unsaved else b""

    def checks(self) -> list[Check]:
        """Return the checks, oldest first."""
        return unpack_checks(self._packed())

    def marks(self) -> list[CheckMark]:
        """Return the time and reason of each check, oldest first; several times as fast."""
        heads = (head for head, _ in _CHECK.iter_unpack(self._packed()))
        return [(head >> 8, _REASONS[head & 0xFF]) for head in heads if head & 0xFF in _REASONS]

    def _packed(self) -> bytes:
        end = self._count % MAX_RECENT_CHECKS * PACKED_CHECK_BYTES
        first = self._ring[end:] if self._count >= MAX_RECENT_CHECKS else b""
        return bytes(first + self._ring[:end])


def unpack_checks(packed: bytes) -> list[Check]:
    """Return the checks, oldest first, without those with another release's reason."""
    whole = packed[len(packed) % PACKED_CHECK_BYTES :]
    return [
        Check(
            at=EPOCH + (head >> 8) * _MILLISECOND,
            reason=_REASONS[head & 0xFF],
            latency_ms=None if latency == _NO_LATENCY else latency / 1000,
        )
        for head, latency in _CHECK.iter_unpack(whole)
        if head & 0xFF in _REASONS and head >> 8 <= _MAX_MS
    ]

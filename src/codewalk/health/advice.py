"""What a user should know of a server's release."""

import re
from typing import Final

SAFE_FROM: Final = (1, 0, 216)
"""The first release without CVE-2026-22812."""

UNSAFE: Final = (
    "OpenCode {version} lets any web site run commands on its machine (CVE-2026-22812); "
    "update it to 1.0.216 or later."
)

_NUMBERS: Final = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})(-?)", re.ASCII)


def advice(version: str | None) -> str | None:
    """The warning that a release deserves, one sentence; None for one that is well or unknown.

    A pre-release comes before its release: `1.0.216-beta` is below 1.0.216.
    """
    found = _NUMBERS.match(version or "")
    if found is None:
        return None
    numbers = tuple(int(part) for part in found.groups()[:3])
    if (numbers, not found[4]) >= (SAFE_FROM, True):
        return None
    return UNSAFE.format(version=version)

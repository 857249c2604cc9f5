"""The import of the Flutter app's servers into a store that never held anything, once."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Final

from codewalk.servers import rules
from codewalk.servers.registry import Registry
from codewalk.servers.roster import Roster
from codewalk.settings import Settings
from codewalk.storage.legacy import LegacyImport, read_legacy

MAX_WARNINGS: Final = 3
"""Warnings of an import that a user is shown; the log has them all."""

log = logging.getLogger(__name__)


async def import_legacy(registry: Registry, settings: Settings) -> str | None:
    """Import the Flutter app's servers where the store is new.

    What was imported, or why nothing was, is one line of the log.

    Returns:
        What a user should know of it, in a few sentences; None where there is nothing to say.

    Raises:
        StorageError: The store can't be written.
    """
    if registry.roster.revision:
        return None
    legacy = await asyncio.to_thread(read_legacy, settings, datetime.now(UTC))
    if legacy is None:
        return None
    roster = await registry.change(lambda roster: _with_legacy(roster, legacy))
    count = sum(roster.get(profile.id) is not None for profile in legacy.profiles)
    if legacy.profiles and not count:
        return None  # another process was first
    log.log(
        logging.WARNING if legacy.warnings else logging.INFO,
        "Migration from %s: servers taken over: %d. %s",
        legacy.source,
        count,
        " ".join(legacy.warnings) or ("" if count else "It names no server."),
    )
    return _message(legacy, count)


def _message(legacy: LegacyImport, count: int) -> str | None:
    if not (count or legacy.warnings):
        return None
    servers = {0: "No server was", 1: "1 server was"}.get(count, f"{count} servers were")
    sentences = [f"{servers} taken over from the CodeWalk Flutter app ({legacy.source})."]
    sentences += legacy.warnings[:MAX_WARNINGS]
    if len(legacy.warnings) > MAX_WARNINGS:
        sentences.append(f"The log has {len(legacy.warnings) - MAX_WARNINGS} more such notes.")
    return " ".join(sentences)


def _with_legacy(roster: Roster, legacy: LegacyImport) -> Roster:
    if roster.revision or not legacy.profiles:
        return roster
    for profile in legacy.profiles:
        roster = rules.add(roster, profile)
    if legacy.active_id:
        roster = rules.switch(roster, legacy.active_id)
    return rules.mark_legacy_imported(rules.set_default(roster, legacy.default_id))

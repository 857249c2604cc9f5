"""Stores many servers at once; added one by one, each would be a write to the disk."""

from dataclasses import replace
from datetime import UTC, datetime

from codewalk.servers.draft import new_profile
from codewalk.servers.roster import Roster
from codewalk.storage.roster import RosterStore


async def store_servers(store: RosterStore, urls: list[str]) -> Roster:
    """Store a server for each URL, and return the roster."""
    now = datetime.now(UTC)
    profiles = tuple(new_profile(url, now=now) for url in urls)
    await store.update(await store.load(), lambda roster: replace(roster, profiles=profiles))
    return await store.load()

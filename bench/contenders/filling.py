"""A store with many servers, put there at once: added one by one, each is a write to the disk."""

from dataclasses import replace
from datetime import UTC, datetime

from codewalk.servers.draft import new_profile
from codewalk.servers.roster import Roster
from codewalk.storage.roster import RosterStore


async def fill(store: RosterStore, urls: list[str]) -> Roster:
    """Keeps a server for each URL, and gives the roster of them."""
    now = datetime.now(UTC)
    profiles = tuple(new_profile(url, now=now) for url in urls)
    await store.update(await store.load(), lambda roster: replace(roster, profiles=profiles))
    return await store.load()

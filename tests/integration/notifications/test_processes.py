"""Several processes on one store, and one that ends before a hook has received its notice."""

import asyncio
import json

import codewalk
from codewalk.app.composition import open_parts
from codewalk.servers.draft import Change
from codewalk.settings import Settings
from tests.fakes import profile
from tests.integration.notifications.notifier_app import (
    DOWN,
    UP,
    Receiver,
    run_notifier,
    set_all,
    store,
)
from tests.mock_behaviours import json_reply, never
from tests.mock_opencode import MockOpenCode

TIMEOUT = 30.0
SERVERS = 250


async def test_of_two_processes_one_runs_the_hooks_for_each_notice(settings: Settings) -> None:
    receiver = Receiver()
    profiles = [profile(number) for number in range(SERVERS)]
    await store(settings, profiles, receiver.hooks)
    async with (
        asyncio.timeout(TIMEOUT),
        open_parts(settings) as one,
        open_parts(settings) as other,
    ):
        for parts in (one, other):
            set_all(parts, UP)
        async with run_notifier(one, receiver), run_notifier(other, receiver):
            for status, count in ((DOWN, 1), (UP, 2)):
                for parts in (one, other):
                    set_all(parts, status)
                await receiver.wait_for(count * SERVERS)
    for ids in receiver.received.values():
        assert sorted(ids) == sorted(2 * [server.id for server in profiles])


async def test_what_a_hook_had_not_received_when_the_app_ended_is_delivered_by_the_next(
    settings: Settings,
) -> None:
    async with MockOpenCode() as server, MockOpenCode() as receiver, asyncio.timeout(TIMEOUT):
        receiver.script("/hook", never())
        async with codewalk.open(settings, watch=True) as app:
            added = await app.add_server(server.url)
            await app.edit_server(added.id, Change(health_check={"interval": 1}))
            await app.hooks.add_webhook(f"{receiver.url}/hook")
            await server.wait_for_requests("/global/event")
            await server.stop()
            await receiver.wait_for_requests("/hook")
        receiver.script("/hook", json_reply({}))
        async with codewalk.open(settings, watch=True):
            await receiver.wait_for_requests("/hook", 2)
    first, second = (json.loads(request.body) for request in receiver.requests)
    assert first == second
    assert first["event"] == "down"

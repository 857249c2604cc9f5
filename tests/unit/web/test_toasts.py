"""Notice as a person is told of it: in words, and no more at once than fits."""

import asyncio
from datetime import timedelta
from typing import Any, cast

import pytest

from codewalk.app.app import App
from codewalk.events import Event, Kind
from codewalk.health.status import HealthStatus
from codewalk.notifications.notice import Notice, NoticeEvent, NoticeKind
from codewalk.reason import Reason, State
from codewalk.server import Server
from codewalk.web.event_streams import EventStreams
from codewalk.web.templates import icon
from codewalk.web.toasts import (
    MAX_TOASTS,
    TOAST_SECONDS,
    ToastStack,
    background_messages,
    make_toast,
    summary_text,
)
from tests.unit.web.samples import HOSTILE, NOW, VIEWS, Tags, server, text_of


def notice(number: int = 1, kind: NoticeKind = NoticeKind.DOWN, **count: Any) -> Notice:
    refused = HealthStatus(state=State.UNHEALTHY, reason=Reason.REFUSED, version="1.18.33")
    fields: dict[str, Any] = {"at": NOW, "health": refused} | count
    return Notice(kind=kind, server_id=f"s{number}", **fields)


def ids(visible: list[Notice]) -> list[str]:
    return [each.server_id for each in visible]


@pytest.mark.parametrize(
    ("each", "words"),
    [
        (notice(), "Dev box is down. Nothing listens at this address."),
        (
            notice(kind=NoticeKind.UP, downtime=timedelta(seconds=62)),
            "Dev box is back. It was down for 1 min 2 s.",
        ),
        (
            notice(kind=NoticeKind.UP, downtime=timedelta(0)),
            "Dev box is back. It was down for under 1 s.",
        ),
        (
            notice(kind=NoticeKind.UP, downtime=timedelta(days=2)),
            "Dev box is back. It was down for 2 days.",
        ),
        (
            notice(kind=NoticeKind.VERSION, previous_version="1.18.23"),
            "Dev box has another release. OpenCode 1.18.33; it was 1.18.23.",
        ),
    ],
)
def test_it_names_the_server_and_says_what_happened(each: Notice, words: str) -> None:
    html = VIEWS.toast_fragments([make_toast(each, server())], summary_count=0)
    assert text_of(html).endswith(words)
    assert 'href="/servers#server-018f"' in html
    assert '<bdi dir="auto">Dev box</bdi>' in html


def test_states_differ_in_more_than_colour() -> None:
    down, up, version = (
        VIEWS.toast_fragments([make_toast(notice(kind=kind), server())], summary_count=0)
        for kind in NoticeKind
    )
    assert 'class="badge unhealthy"' in down
    assert 'class="badge healthy"' in up
    assert icon("info") in version


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    def tags(value: str) -> list[str]:
        ill = HealthStatus(state=State.UNHEALTHY, reason=Reason.NOT_OPENCODE, detail=value)
        all_of_it = [
            make_toast(notice(health=ill), server(label=value)),
            make_toast(
                notice(2, NoticeKind.VERSION, health=ill, previous_version=value),
                server(label=value),
            ),
        ]
        return Tags(VIEWS.toast_fragments(all_of_it, summary_count=0)).tags

    assert tags(text) == tags("calm")


def test_two_hundred_at_once_are_three_and_a_number() -> None:
    stack, visible, count = ToastStack().add(map(notice, range(200)), 100.0)
    assert (ids(visible), count) == (["s0", "s1", "s2"], 200 - MAX_TOASTS)
    # And so they are if they come one by one.
    one_by_one, all_shown = ToastStack(), list[Notice]()
    for number in range(200):
        one_by_one, visible, count = one_by_one.add([notice(number)], 100.0 + number / 1000)
        all_shown += visible
    assert (ids(all_shown), count) == (["s0", "s1", "s2"], 197)
    assert one_by_one.hidden == stack.hidden


class CountedApp:
    """An app with one server that is down, which counts how often its servers are listed."""

    def __init__(self) -> None:
        self.lists = 0

    def servers(self) -> list[Server]:
        self.lists += 1
        return [server(state=State.UNHEALTHY, reason=Reason.REFUSED)]

    def get(self, server_id: str) -> Server:
        return server()


async def test_a_burst_of_changes_is_counted_once_for_hidden_pages() -> None:
    app, queue, streams = CountedApp(), asyncio.Queue[Event](), EventStreams()
    for _ in range(500):
        queue.put_nowait(Event(kind=Kind.HEALTH, server_id="018f"))
    queue.put_nowait(NoticeEvent.of(notice()))
    messages = background_messages(cast("App", app), queue, streams)
    count = await anext(messages)
    assert (count.event, count.data) == ("down", 1)
    assert (await anext(messages)).data["title"] == "Dev box is down"
    assert app.lists == 1


def test_there_is_room_again_once_toasts_are_gone() -> None:
    stack, _, _ = ToastStack().add(map(notice, range(9)), 100.0)
    stack, visible, count = stack.add([notice(50)], 100.0 + TOAST_SECONDS - 0.1)
    assert (ids(visible), count) == ([], 7)
    stack, visible, count = stack.add([notice(51)], 100.0 + TOAST_SECONDS)
    assert (ids(visible), count) == (["s51"], 0)
    # The number is of those that it stands for while it is seen.
    stack, _, count = stack.add(map(notice, range(60, 70)), 300.0)
    assert count == 7


def test_a_server_that_is_back_takes_the_place_of_its_being_down() -> None:
    stack, _, _ = ToastStack().add(map(notice, range(9)), 100.0)
    back = notice(1, NoticeKind.UP, downtime=timedelta(seconds=6))
    stack, visible, count = stack.add([back], 101.0)
    assert (visible, count) == ([back], 0)
    # Its release is another piece of news, and so has a place of its own.
    _, visible, count = ToastStack().add(
        [back, notice(1, NoticeKind.VERSION, previous_version="1.0.0")], 100.0
    )
    assert len(visible) == 2


def test_notices_are_put_in_the_place_of_earlier_ones_about_the_same() -> None:
    html = VIEWS.toast_fragments([make_toast(notice(), server())], summary_count=2)
    assert html.startswith('<hx-partial hx-target="#state-of-s1" hx-swap="delete">')
    assert html.count('hx-target="#notice-lines" hx-swap="beforeend"') == 1
    assert "2 more servers have news." in html
    assert summary_text(1) == "1 more server has news."
    assert VIEWS.toast_fragments([], summary_count=0) == ""

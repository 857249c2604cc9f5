"""Subscriptions of pages continue for a few seconds after a request."""

import asyncio
from contextlib import ExitStack
from typing import cast

from codewalk.web.page_stream import OpenPage
from codewalk.web.page_subscriptions import (
    MAX_IDLE_SUBSCRIPTIONS,
    RESUME_SECONDS,
    PageSubscription,
    PageSubscriptions,
)
from tests.fake_time import advance_time, fake_time


class Subscriber:
    """Attaches pages, and records which subscriptions have ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.subscriptions = PageSubscriptions()

    def subscribe(self) -> PageSubscription:
        resources = ExitStack()
        page = cast("OpenPage", None)  # nothing is asked of it
        subscription = PageSubscription(page=page, queue=asyncio.Queue(), resources=resources)
        resources.callback(self.ended.append, subscription.key)
        return subscription

    def request(self, last_event_id: str = "", *, settled: bool = True) -> PageSubscription:
        """A request from its beginning to its end."""
        with self.subscriptions.attach(self.subscribe, last_event_id=last_event_id) as attached:
            attached.is_settled = settled
        return attached


@fake_time
async def test_a_request_continues_the_one_that_ended_a_few_seconds_ago() -> None:
    pages = Subscriber()
    first = pages.request()
    for _ in range(3):
        await advance_time(RESUME_SECONDS - 1)
        assert pages.request(first.event_id) is first
    await advance_time(RESUME_SECONDS + 1)
    assert pages.ended == [first.key]
    assert pages.request(first.event_id) is not first


@fake_time
async def test_a_page_that_lacks_the_last_message_does_not_continue() -> None:
    pages = Subscriber()
    first = pages.request()
    seen = first.event_id
    first.sent_updates += 1
    second = pages.request(seen)
    assert second is not first
    assert pages.ended == [first.key]


@fake_time
async def test_a_request_that_broke_off_between_an_event_and_its_message_is_not_continued() -> None:
    pages = Subscriber()
    first = pages.request(settled=False)
    assert pages.ended == [first.key]
    assert pages.request(first.event_id) is not first


@fake_time
async def test_two_requests_never_share_a_subscription() -> None:
    pages = Subscriber()
    attach, subscribe = pages.subscriptions.attach, pages.subscribe
    first = pages.request()
    with (
        attach(subscribe, last_event_id=first.event_id) as one,
        attach(subscribe, last_event_id=first.event_id) as other,
    ):
        assert one is first
        assert other is not first


@fake_time
async def test_the_oldest_ends_where_there_are_too_many() -> None:
    pages = Subscriber()
    subscriptions = [pages.request() for _ in range(MAX_IDLE_SUBSCRIPTIONS + 1)]
    assert pages.ended == [subscriptions[0].key]
    assert pages.request(subscriptions[-1].event_id) is subscriptions[-1]

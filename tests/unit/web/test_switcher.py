"""Rendering: what the switcher says and offers."""

import re

from codewalk.reason import Reason, State
from codewalk.server import Server
from tests.unit.web.samples import VIEWS, page_context, server, servers_page, text_of


def test_the_switcher_shows_the_active_server_and_why_it_is_unhealthy() -> None:
    down = server(active=True, state=State.UNHEALTHY, reason=Reason.REFUSED)
    (button,) = re.findall(
        r'<button id="switch-server".*?</button>', servers_page(page_context(down)), re.DOTALL
    )
    assert text_of(button) == "Switch server unhealthy Dev box Nothing listens at this address."
    well = VIEWS.switcher_fragments(page_context(server(active=True)))
    assert "Ready to use" not in well
    assert 'data-active="018f" data-previous=""' in well
    assert "No active server" in servers_page(page_context())


def test_the_switcher_offers_what_can_be_done_with_a_server() -> None:
    def pick(shown: Server) -> str:
        return VIEWS.switcher_item_fragments([shown])

    assert 'formaction="/servers/018f/use"' in pick(server())
    current = pick(server(active=True))
    assert 'aria-current="true"' in current
    assert "formaction" not in current
    down = pick(server(state=State.UNHEALTHY, reason=Reason.REFUSED))
    assert 'aria-disabled="true" aria-describedby="why-018f"' in down
    text = text_of(down)
    assert text.endswith("Nothing listens at this address. Check again Switch anyway")
    assert "Previous" in text_of(pick(server(previous=True)))
    gone = text_of(pick(server(active=True, state=State.UNHEALTHY, reason=Reason.REFUSED)))
    assert "Check again" in gone
    assert "Switch anyway" not in gone

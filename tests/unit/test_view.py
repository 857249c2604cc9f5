"""In which order servers are offered to switch to."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from codewalk.health.status import HealthStatus, Reason, State
from codewalk.servers.profile import ServerProfile
from codewalk.view import Server, in_switching_order

NOW = datetime(2026, 2, 9, tzinfo=UTC)


def server(name: str, state: State, *, active: bool = False) -> Server:
    profile = ServerProfile(id=name, url=f"http://{name}", created_at=NOW, updated_at=NOW)
    health = HealthStatus(state=state, reason=Reason.OK)
    return Server(profile=profile, health=health, active=active, default=False)


def test_the_active_one_is_first_then_healthy_unknown_and_unhealthy_ones() -> None:
    servers = [
        server("down", State.UNHEALTHY),
        server("new", State.UNKNOWN),
        server("up", State.HEALTHY),
        server("also-up", State.HEALTHY),
        server("mine", State.UNHEALTHY, active=True),
        server("also-new", State.UNKNOWN),
    ]
    order = [shown.id for shown in in_switching_order(servers)]
    assert order == ["mine", "up", "also-up", "new", "also-new", "down"]


@given(st.lists(st.sampled_from(State)))
def test_servers_of_one_kind_stay_in_list_order(states: list[State]) -> None:
    servers = [server(str(number), state) for number, state in enumerate(states)]
    order = in_switching_order(servers)
    for state in State:
        alike = [shown for shown in servers if shown.health.state is state]
        assert [shown for shown in order if shown.health.state is state] == alike

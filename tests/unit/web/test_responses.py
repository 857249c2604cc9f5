"""The schemas of the API's responses describe just what the core's `to_json` methods give."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, get_args

import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel

from codewalk.history.history import Check, StoredHistory, Transition, build_history
from codewalk.history.period import HOUR, Period
from codewalk.reason import Reason, State
from codewalk.secret import Secret
from codewalk.server import Removed
from codewalk.web import responses
from codewalk.web.api import router
from codewalk.web.problems import Problem
from tests.unit.web.samples import MODELS, NOW, project_list, server, session_list


def history_json() -> dict[str, Any]:
    stored = StoredHistory(
        periods=[Period(begins=NOW.replace(second=0) - HOUR, checks=1, answers=1, up_ms=60_000)],
        transitions=[
            Transition(at=NOW - HOUR, before=State.UNKNOWN, after=State.HEALTHY, reason=Reason.OK)
        ],
        checks=[Check(at=NOW - HOUR, reason=Reason.OK, latency_ms=3.1)],
    )
    since = NOW - timedelta(days=1)
    return build_history("018f", stored, server().health, since=since, now=NOW).to_json()


SAMPLES: Mapping[type[BaseModel], dict[str, Any]] = {
    responses.ServerBody: server(
        basic_auth_enabled=True, basic_auth_password=Secret("x"), snoozed_until=NOW
    ).to_json(),
    responses.RemovedBody: Removed(removed="018f", active=None).to_json(),
    responses.HistoryBody: history_json(),
    responses.SessionListBody: session_list("One", "Two").to_json(),
    responses.SessionBody: session_list("One").sessions[0].to_json(),
    responses.ProjectListBody: project_list("shop", "docs").to_json(),
    responses.ModelListBody: MODELS.to_json(),
    responses.ProblemBody: Problem(
        status=422,
        code="invalid_value",
        detail="No.",
        errors=[{"pointer": "/url", "detail": "No."}],
    ).to_json(),
}


@pytest.mark.parametrize("model", SAMPLES, ids=lambda model: model.__name__)
def test_a_schema_has_the_keys_and_types_of_its_body(model: type[BaseModel]) -> None:
    body = SAMPLES[model]
    parsed = model.model_validate(body)
    assert parsed.model_dump(mode="json", by_alias=True) == body


def test_every_body_of_a_route_is_compared() -> None:
    models = {
        model
        for route in router.routes
        if isinstance(route, APIRoute) and route.response_model
        for model in get_args(route.response_model) or (route.response_model,)
    }
    # These two have no `to_json`: the routes write their one or two keys.
    assert models - {responses.NoDefaultBody, responses.HealthzBody} <= SAMPLES.keys()

"""The undocumented parts of aiohttp that CodeWalk uses are there, and as it uses them.

A new release of aiohttp may change any of it: pyproject.toml keeps such a release out until these
tests pass with it.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import connector, http, http_exceptions, streams
from aiohttp.client_proto import ResponseHandler
from yarl import URL


@dataclass(frozen=True, kw_only=True)
class Use:
    """A name of `owner` that `user`, a module of CodeWalk, uses; called so where it is called."""

    user: str
    owner: type
    name: str
    is_called: bool = False
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.owner.__name__}.{self.name}"


def called(user: str, owner: type, name: str, *arguments: Any, **keywords: Any) -> Use:
    """Return the use of a method that is called with such arguments."""
    return Use(
        user=user, owner=owner, name=name, is_called=True, arguments=arguments, keywords=keywords
    )


USES: Final = [
    called("bounded_connector", ResponseHandler, "__init__", loop=None),
    called("bounded_connector", ResponseHandler, "data_received", b""),
    called("bounded_connector", ResponseHandler, "set_exception", ValueError()),
    called("bounded_connector", ResponseHandler, "close"),
    called("bounded_connector", ResponseHandler, "__len__"),
    called("bounded_connector", http_exceptions.HttpProcessingError, "__init__", message=""),
    called("pool", ResponseHandler, "read"),
    called("pool", ResponseHandler, "is_connected"),
    called("pool", ResponseHandler, "set_response_params", read_until_eof=True),
    Use(user="pool", owner=ResponseHandler, name="should_close"),
    Use(user="pool", owner=ResponseHandler, name="transport"),
    called("pool", aiohttp.ClientRequest, "__init__", "GET", URL(), headers=None, loop=None),
    Use(user="pool", owner=aiohttp.ClientRequest, name="url"),
    called("pool", aiohttp.TCPConnector, "connect", None, [], None),
    Use(user="pool", owner=aiohttp.TCPConnector, name="closed"),
    called("pool", connector.Connection, "close"),
    called("pool", connector.Connection, "release"),
    Use(user="pool", owner=connector.Connection, name="protocol"),
    Use(user="pool", owner=http.RawResponseMessage, name="code"),
    Use(user="pool", owner=http.RawResponseMessage, name="headers"),
    called("response", streams.StreamReader, "readany"),
    called("response", streams.StreamReader, "at_eof"),
]

COROUTINES: Final = {"TCPConnector.connect", "ResponseHandler.read", "StreamReader.readany"}
"""The methods among them that are awaited."""


def difference(use: Use) -> str | None:
    """Say how aiohttp differs from what CodeWalk expects; None where it doesn't."""
    problem = _problem(use)
    return problem and (
        f"aiohttp {version('aiohttp')}: {use} {problem}; codewalk.opencode.{use.user} uses it"
    )


def _problem(use: Use) -> str | None:
    missing = object()
    attribute = inspect.getattr_static(use.owner, use.name, missing)
    if attribute is missing:
        return "is missing"
    if not use.is_called:
        return None
    function: Callable[..., Any] = getattr(use.owner, use.name)
    try:
        inspect.signature(function).bind(None, *use.arguments, **use.keywords)
    except TypeError as exc:
        return f"takes other arguments ({exc})"
    if inspect.iscoroutinefunction(function) != (str(use) in COROUTINES):
        return "is a coroutine function, or isn't one any more"
    return None


@pytest.mark.parametrize("use", USES, ids=str)
def test_aiohttp_has_what_is_used_of_it(use: Use) -> None:
    assert difference(use) is None


async def test_a_connector_has_the_attributes_that_its_subclass_uses() -> None:
    async with aiohttp.TCPConnector() as made:
        attributes = vars(made)
    for name, kind in {"_conns": Mapping, "_factory": partial, "_loop": object}.items():
        assert isinstance(attributes.get(name), kind), (
            f"aiohttp {version('aiohttp')}: TCPConnector.{name} is missing or no {kind.__name__}; "
            "codewalk.opencode.bounded_connector uses it"
        )
    assert attributes["_factory"].func is ResponseHandler


async def test_a_request_has_the_headers_that_are_sent() -> None:
    # They are set by its initializer alone: the class doesn't name them.
    request = aiohttp.ClientRequest("GET", URL("http://box:4096/"), headers={"X-Y": "z"})
    assert (request.headers["Host"], request.headers["X-Y"]) == ("box:4096", "z")


class Changed:
    """A class of another release."""

    def method(self, *, read_until_eof: bool = False) -> None: ...

    async def coroutine(self) -> None: ...


@pytest.mark.parametrize(
    ("use", "problem"),
    [
        (Use(user="pool", owner=Changed, name="protocol"), "Changed.protocol is missing"),
        (
            called("pool", Changed, "method", eof=True),
            "Changed.method takes other arguments (got an unexpected keyword argument 'eof')",
        ),
        (
            called("pool", Changed, "coroutine"),
            "Changed.coroutine is a coroutine function, or isn't one any more",
        ),
    ],
    ids=str,
)
def test_a_change_is_reported_with_the_name_and_its_user(use: Use, problem: str) -> None:
    expected = f"aiohttp {version('aiohttp')}: {problem}; codewalk.opencode.pool uses it"
    assert difference(use) == expected

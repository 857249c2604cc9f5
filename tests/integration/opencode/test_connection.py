"""One server's connection: its base URL, its credentials, and nobody else's."""

import asyncio
import base64

import pytest

from codewalk.errors import StorageError
from codewalk.opencode.client import OpenCodeClient
from codewalk.opencode.connection import RequestFailed
from codewalk.reason import Reason
from codewalk.secret import Secret
from tests.mock_behaviours import Behaviour, close, json_reply, never, page, redirect, reply, reset
from tests.mock_opencode import MockOpenCode, Release

CREDENTIALS = [
    ("opencode", "secret"),
    ("opencode", "with:colons::"),
    ("üser", "pässwörd 🔑"),
    ("opencode", " blanks "),
    ("opencode", "x" * 1024),
]


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


async def test_get_returns_a_response_of_any_status(
    client: OpenCodeClient, server: MockOpenCode
) -> None:
    server.script("/odd", reply(b"tea", status=418, content_type="Text/Plain; charset=utf-8"))
    answer = await client.connect(server.url).get("/odd")
    assert (answer.status, answer.body, answer.content_type) == (418, b"tea", "text/plain")
    assert not answer.ok
    assert answer.elapsed_ms > 0


@pytest.mark.parametrize(("username", "password"), CREDENTIALS)
async def test_basic_auth_carries_any_user_name_and_password(
    client: OpenCodeClient, username: str, password: str
) -> None:
    async with MockOpenCode(username=username, password=password) as server:
        connection = client.connect(server.url, username, Secret(password))
        assert await connection.get_json("/global/health") == {
            "healthy": True,
            "version": "1.18.33",
        }


async def test_a_password_alone_goes_with_opencode_s_own_user_name(
    client: OpenCodeClient,
) -> None:
    async with MockOpenCode(password="secret") as server:
        await client.connect(server.url, password=Secret("secret")).get_json("/path")


async def test_each_server_gets_its_own_credentials_and_no_other_s(
    client: OpenCodeClient,
) -> None:
    async with (
        MockOpenCode(password="a") as one,
        MockOpenCode(password="b") as two,
        MockOpenCode() as third,
    ):
        pairs = [(one, Secret("a")), (two, Secret("b")), (third, None)]
        linked = [client.connect(s.url, "opencode" if p else None, p) for s, p in pairs]
        await asyncio.gather(*(c.get_json("/path") for c in linked for _ in range(5)))
        sent = [{r.headers.get("Authorization") for r in s.requests} for s, _ in pairs]
    # None is a request without credentials, which comes first.
    assert sent == [{None, basic("opencode", "a")}, {None, basic("opencode", "b")}, {None}]


async def test_credentials_are_sent_only_to_a_server_that_asks_for_them(
    client: OpenCodeClient, server: MockOpenCode
) -> None:
    connection = client.connect(server.url, "opencode", Secret("secret"))
    await connection.get_json("/path")
    was_open = connection.answers_without_credentials
    assert was_open
    server.script("/missing", reply(b"", status=404), reply(b"", status=500))
    for _ in range(2):
        await connection.get("/missing")
    await connection.post_json("/session", {})
    async with connection.stream("/global/event"):
        pass
    assert not [r for r in server.requests if "Authorization" in r.headers]
    # From now on it wants a password.
    server.password = "secret"
    await connection.post_json("/session", {})
    assert not connection.answers_without_credentials
    assert [r.headers.get("Authorization") for r in server.requests[-2:]] == [
        None,
        basic("opencode", "secret"),
    ]
    await connection.get_json("/path")
    assert server.requests[-1].headers.get("Authorization") == basic("opencode", "secret")
    assert server.requests[-2].method == "POST"


async def test_after_a_server_was_gone_it_has_to_ask_again(
    client: OpenCodeClient, server: MockOpenCode
) -> None:
    server.password = "secret"
    connection = client.connect(server.url, "opencode", Secret("secret"))
    await connection.get_json("/path")
    await server.stop()
    with pytest.raises(RequestFailed):
        await connection.get_json("/path")
    server.password = None
    server.requests.clear()
    await server.start()
    await connection.get_json("/path")
    assert [r.headers.get("Authorization") for r in server.requests] == [None]


@pytest.mark.parametrize("answer", [page(), reply(b"", status=404), reply(b"x", status=502)])
async def test_credentials_are_not_sent_to_what_answers_otherwise(
    client: OpenCodeClient, server: MockOpenCode, answer: Behaviour
) -> None:
    server.script("/path", answer)
    connection = client.connect(server.url, "opencode", Secret("secret"))
    with pytest.raises(RequestFailed):
        await connection.get_json("/path")
    assert [r.headers.get("Authorization") for r in server.requests] == [None]
    assert not connection.answers_without_credentials


async def test_a_stream_is_opened_without_credentials_until_they_are_asked_for(
    client: OpenCodeClient, server: MockOpenCode
) -> None:
    server.password = "secret"
    connection = client.connect(server.url, "opencode", Secret("secret"))
    for _ in range(2):
        async with connection.stream("/global/event") as response:
            assert response.head.status == 200
    sent = [r.headers.get("Authorization") for r in server.requests]
    assert sent == [None, *[basic("opencode", "secret")] * 2]


async def test_a_stream_is_opened_while_another_request_is_asked_for_credentials(
    client: OpenCodeClient, server: MockOpenCode
) -> None:
    """Raced: the refusal of the stream was its result, if another request was refused first."""
    server.password = "secret"
    connection = client.connect(server.url, "opencode", Secret("secret"))

    async def status_of_stream() -> int:
        async with connection.stream("/global/event") as response:
            return response.head.status

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(connection.get_json("/path"), name="get") for _ in range(3)]
        stream = group.create_task(status_of_stream(), name="stream")
    assert all(task.result() for task in tasks)
    assert stream.result() == 200


async def test_a_slow_answer_is_no_reason_to_ask_again(
    client: OpenCodeClient, server: MockOpenCode
) -> None:
    server.password = "secret"
    connection = client.connect(server.url, "opencode", Secret("secret"))
    await connection.get_json("/path")
    server.script("/session", never())
    with pytest.raises(RequestFailed) as failed:
        await connection.get_json("/session", timeout=0.05)
    assert failed.value.reason is Reason.TIMEOUT
    server.requests.clear()
    await connection.get_json("/path")
    assert [r.headers.get("Authorization") for r in server.requests] == [
        basic("opencode", "secret")
    ]


async def test_with_a_password_that_cant_be_decrypted_nothing_is_sent(
    client: OpenCodeClient, server: MockOpenCode
) -> None:
    def unseal() -> str:
        raise StorageError("The password was stored under another key.")

    connection = client.connect(server.url, "opencode", Secret.sealed("v1.k.abc", unseal))
    with pytest.raises(RequestFailed, match="another key") as caught:
        await connection.get("/path")
    assert caught.value.reason is Reason.AUTH_REQUIRED
    assert server.requests == []


async def test_a_connection_and_its_failures_contain_no_password(client: OpenCodeClient) -> None:
    async with MockOpenCode(password="right") as server:
        connection = client.connect(server.url, "opencode", Secret("hunter2"))
        with pytest.raises(RequestFailed) as caught:
            await connection.get_json("/path")
    text = f"{connection!r} {connection} {caught.value!r} {caught.value}"
    assert "hunter2" not in text
    assert basic("opencode", "hunter2") not in text


@pytest.mark.parametrize("prefix", ["", "/opencode", "/a%20b/c%2Fd", "/%C3%BC"])
async def test_a_path_prefix_is_kept_as_it_stands(
    client: OpenCodeClient, server: MockOpenCode, prefix: str
) -> None:
    server.script("*", json_reply({}))
    await client.connect(server.url + prefix).get_json("/session/ses_%2F/message")
    assert [seen.raw_path for seen in server.requests] == [f"{prefix}/session/ses_%2F/message"]


async def test_parameters_are_sent_unchanged(client: OpenCodeClient, server: MockOpenCode) -> None:
    directory = "/home/me/a b/ü&x=1+2%20#?"
    server.world.add_session("here", directory=directory)
    server.world.add_session("elsewhere")
    connection = client.connect(server.url)
    sessions = await connection.get_json("/session", params={"directory": directory, "limit": "5"})
    assert [session["title"] for session in sessions] == ["here"]


async def test_a_post_is_sent_as_json_and_comes_back_as_json(
    client: OpenCodeClient, server: MockOpenCode
) -> None:
    connection = client.connect(server.url)
    created = await connection.post_json("/session", {"title": "Ünï"}, params={"directory": "/p"})
    assert (created["title"], created["directory"]) == ("Ünï", "/p")
    assert server.requests[0].headers["Content-Type"] == "application/json"


async def test_the_empty_response_to_a_post_is_none(
    client: OpenCodeClient, server: MockOpenCode
) -> None:
    server.script("/session/x/prompt_async", reply(status=204))
    assert await client.connect(server.url).post_json("/session/x/prompt_async", {}) is None


@pytest.mark.parametrize("behaviour", [reset(), close()], ids=["reset", "close"])
async def test_a_post_is_never_repeated(
    client: OpenCodeClient, server: MockOpenCode, behaviour: Behaviour
) -> None:
    server.script("/session", behaviour)
    with pytest.raises(RequestFailed):
        await client.connect(server.url).post_json("/session", {"title": "once"})
    assert server.count("/session") == 1


async def test_a_connection_closed_while_idle_costs_the_next_request_nothing(
    client: OpenCodeClient, server: MockOpenCode
) -> None:
    connection = client.connect(server.url)
    await connection.get_json("/path")
    await server.stop()
    await server.start()
    await connection.get_json("/path")


async def test_no_cookie_is_kept(client: OpenCodeClient, server: MockOpenCode) -> None:
    cookie = {"Set-Cookie": "track=1; Path=/"}
    server.script("/path", reply(b"{}", headers=cookie))
    connection = client.connect(server.url)
    await connection.get_json("/path")
    await connection.get_json("/path")
    assert [seen.headers.get("Cookie") for seen in server.requests] == [None, None]


async def test_a_cancelled_request_ends_at_the_server_too(
    client: OpenCodeClient, server: MockOpenCode
) -> None:
    gate = server.hold("/session")
    connection = client.connect(server.url)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(connection.get_json("/session"), name="request")
        await gate.arrived.wait()
        task.cancel()
    assert task.cancelled()
    await gate.abandoned.wait()


async def test_one_slow_server_costs_another_nothing(client: OpenCodeClient) -> None:
    async with MockOpenCode() as slow, MockOpenCode() as quick, asyncio.TaskGroup() as group:
        gate = slow.hold("/path")
        task = group.create_task(client.connect(slow.url).get_json("/path"), name="slow")
        await gate.arrived.wait()
        assert await client.connect(quick.url).get_json("/path")
        assert not task.done()
        gate.release()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_on_the_same_origin_are_followed_with_the_credentials(
    client: OpenCodeClient, status: int
) -> None:
    async with MockOpenCode(password="secret", prefix="/oc") as server:
        server.script("/old", redirect("/oc/new", status=status))
        server.script("/new", redirect(f"{server.url}/path"))
        connection = client.connect(server.url, "opencode", Secret("secret"))
        answer = await connection.get("/old")
        assert (answer.status, answer.location) == (200, None)
        signed_in = [r.path for r in server.requests if "Authorization" in r.headers]
        assert signed_in == ["/old", "/new", "/path"]


async def test_credentials_in_a_redirect_are_ignored(client: OpenCodeClient) -> None:
    async with MockOpenCode(password="secret") as server:
        server.script("/old", redirect(f"http://evil:pw@127.0.0.1:{server.port}/path"))
        await client.connect(server.url, "opencode", Secret("secret")).get_json("/old")
        sent = {seen.headers.get("Authorization") for seen in server.requests}
        assert sent == {None, basic("opencode", "secret")}


@pytest.mark.parametrize(
    "location",
    [
        "http://{other}/path",
        "//{other}/path",
        "http://user:pw@{other}/path",
        "http://localhost:{port}/path",
        "https://127.0.0.1:{port}/path",
        "HTTP://{other}/path?next=http://127.0.0.1:{port}/",
        "ftp://127.0.0.1:{port}/",
        "http://[bad",
        "http://127.0.0.1:99999999/",
        "javascript:alert(1)",
    ],
)
async def test_no_redirect_leads_to_another_origin(client: OpenCodeClient, location: str) -> None:
    async with MockOpenCode(password="secret") as server, MockOpenCode() as other:
        place = location.format(other=f"127.0.0.1:{other.port}", port=server.port)
        server.script("/path", redirect(place))
        connection = client.connect(server.url, "opencode", Secret("secret"))
        answer = await connection.get("/path")
        assert answer.status == 302
        with pytest.raises(RequestFailed, match="redirects to") as caught:
            await connection.get_json("/path")
        assert caught.value.reason is Reason.NOT_OPENCODE
        assert "pw" not in caught.value.detail
        assert other.requests == []
        assert server.count("/path") == 3  # the first one without credentials


async def test_a_post_follows_no_redirect(client: OpenCodeClient, server: MockOpenCode) -> None:
    location = f"http://me:s3cr3t@127.0.0.1:{server.port}/elsewhere?auth_token=s3cr3t"
    server.script("/session", redirect(location, status=301))
    with pytest.raises(RequestFailed) as caught:
        await client.connect(server.url).post_json("/session", {})
    assert server.count("/elsewhere") == 0
    assert caught.value.detail == (
        f"127.0.0.1:{server.port} redirects a POST to {server.url}/elsewhere (status 301), where "
        "it isn't sent again; is the server's URL right?"
    )


async def test_redirects_end(client: OpenCodeClient, server: MockOpenCode) -> None:
    server.script("/loop", redirect("/loop"))
    with pytest.raises(RequestFailed, match="too many times") as caught:
        await client.connect(server.url).get_json("/loop")
    assert f"at last to {server.url}/loop." in caught.value.detail
    assert server.count("/loop") == 4


@pytest.mark.parametrize("release", list(Release))
async def test_each_release_answers_health_in_its_own_way(
    client: OpenCodeClient, release: Release
) -> None:
    async with MockOpenCode(release=release) as server:
        answer = await client.connect(server.url).get("/global/health")
    expected = {
        Release.CURRENT: (200, "application/json"),
        Release.OLD: (404, "text/plain"),
        Release.NEXT: (200, "text/html"),
        Release.LATER: (200, "text/html"),
    }
    assert (answer.status, answer.content_type) == expected[release]


@pytest.mark.parametrize(
    ("behaviour", "what"), [(page(), "a web page"), (reply(b"{"), "invalid JSON")]
)
async def test_a_response_that_isnt_json_is_named_as_what_it_is(
    client: OpenCodeClient, server: MockOpenCode, behaviour: Behaviour, what: str
) -> None:
    server.script("/path", behaviour)
    with pytest.raises(RequestFailed) as caught:
        await client.connect(server.url).get_json("/path")
    place = f"127.0.0.1:{server.port}"
    assert caught.value.message == f"{place} answered /path with {what}."


async def test_using_a_closed_or_unopened_client_is_a_runtime_error() -> None:
    async with OpenCodeClient() as client:
        connection = client.connect("http://127.0.0.1:4096")
    with pytest.raises(RuntimeError):
        await connection.get("/path")
    with pytest.raises(RuntimeError, match="before"):
        OpenCodeClient().connect("http://127.0.0.1:4096")

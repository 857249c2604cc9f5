"""Adding, editing, removing and choosing servers, through the core and a real store."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest

import codewalk
from codewalk.app.app import App
from codewalk.app.composition import Parts, open_parts
from codewalk.errors import (
    DuplicateServer,
    EditConflict,
    InvalidURL,
    ServerNotFound,
    ServerUnhealthy,
    ServerUnreachable,
)
from codewalk.events import Kind
from codewalk.health.status import HealthStatus
from codewalk.reason import Reason, State
from codewalk.secret import Secret
from codewalk.servers.conflict import editable_values
from codewalk.servers.draft import Change
from codewalk.settings import Settings
from tests.certificates import server_context, write_certificate
from tests.mock_behaviours import page
from tests.mock_opencode import MockOpenCode, Release

NOBODY = "http://127.0.0.1:1"


@pytest.fixture
async def parts(settings: Settings) -> AsyncIterator[Parts]:
    async with open_parts(settings) as parts:
        yield parts


@pytest.fixture
def app(parts: Parts) -> App:
    return parts.app


async def test_first_server_added_is_active(app: App) -> None:
    async with MockOpenCode() as first, MockOpenCode() as second:
        added = await app.add_server(first.url, label="First")
        await app.add_server(second.url)
    assert added.active
    assert added.health.state is State.HEALTHY
    assert [server.active for server in app.servers()] == [True, False]


async def test_server_that_fails_its_check_is_not_saved(app: App) -> None:
    with pytest.raises(ServerUnreachable, match="refused"):
        await app.add_server(NOBODY)
    assert app.servers() == []


@pytest.mark.parametrize("release", [Release.NEXT, Release.LATER])
async def test_server_of_the_next_major_release_is_refused_and_says_why(
    app: App, release: Release
) -> None:
    async with MockOpenCode(release=release) as server:
        with pytest.raises(ServerUnreachable, match=r"has another API.*works with OpenCode 1\.x"):
            await app.add_server(server.url)
        await app.add_server(server.url, check=False)
        (checked,) = await app.check_all()
    assert (checked.health.reason, checked.health.version) == (Reason.INCOMPATIBLE, release.value)


async def test_unchecked_server_is_saved_unknown(app: App) -> None:
    server = await app.add_server(NOBODY, check=False)
    assert (server.health.state, server.health.reason) == (State.UNKNOWN, Reason.UNCHECKED)


async def test_same_server_written_otherwise_is_refused_without_asking_it(app: App) -> None:
    async with MockOpenCode() as server:
        await app.add_server(server.url)
        asked = len(server.requests)
        with pytest.raises(DuplicateServer):
            await app.add_server(f" {server.url.upper()}/x/../ ")
        assert len(server.requests) == asked


async def test_duplicate_label_is_refused_in_any_case(app: App) -> None:
    await app.add_server("one", label="Box", check=False)
    with pytest.raises(DuplicateServer):
        await app.add_server("two", label="bOX", check=False)


async def test_bad_url_changes_nothing(app: App) -> None:
    with pytest.raises(InvalidURL):
        await app.add_server("ftp://box")
    assert app.servers() == []


async def test_missing_and_wrong_passwords_have_different_reasons(app: App) -> None:
    async with MockOpenCode(password="right:ä") as server:
        with pytest.raises(ServerUnreachable, match="asks for a user name"):
            await app.add_server(server.url)
        with pytest.raises(
            ServerUnreachable, match="refused the user name 'opencode' or its password"
        ):
            await app.add_server(server.url, password=Secret("wrong"))
        added = await app.add_server(server.url, password=Secret("right:ä"))
    assert added.profile.basic_auth_enabled
    assert "right" not in repr(added)


async def test_credentials_in_the_url_are_stored_separately(app: App) -> None:
    async with MockOpenCode(username="me", password="p@w") as server:
        added = await app.add_server(server.url.replace("://", "://me:p%40w@"))
    assert added.profile.url == server.url
    assert added.profile.basic_auth_username == "me"


async def test_a_label_that_reads_like_anothers_url_is_refused(app: App) -> None:
    """`server remove URL` would have taken away the server with the label."""
    one = await app.add_server("http://one:4096", check=False)
    with pytest.raises(DuplicateServer, match="already names http://one:4096"):
        await app.add_server("http://two:4096", label="HTTP://ONE:4096", check=False)
    two = await app.add_server("http://two:4096", label="Two", check=False)
    with pytest.raises(DuplicateServer, match="already names http://one:4096"):
        await app.edit_server(two.id, Change(label="one:4096"), check=False)
    assert app.server("one:4096").id == one.id


async def test_edited_label_causes_no_check(app: App) -> None:
    async with MockOpenCode() as server:
        added = await app.add_server(server.url)
        asked = len(server.requests)
        # A form sends the URL too.
        change = Change(url=f"{server.url}/", label=" Renamed ")
        edited = await app.edit_server(added.id, change)
        assert len(server.requests) == asked
    assert edited.name == "Renamed"
    assert edited.health.state is State.HEALTHY


async def test_a_label_edited_by_another_process_leaves_health_as_it_was(
    settings: Settings,
) -> None:
    """A password that was read again looked changed, and made the server unknown again."""
    async with MockOpenCode(password="pw") as server:
        async with codewalk.open(settings) as first:
            added = await first.add_server(server.url, label="Box", password=Secret("pw"))
        async with codewalk.open(settings, watch=True) as app, codewalk.open(settings) as other:
            before = await app.check(added.id)
            with app.announcer.listen() as events:
                await other.edit_server(added.id, Change(label="Renamed"))
                async with asyncio.timeout(10):
                    while app.server(added.id).name != "Renamed":
                        await events.get()
            assert app.server(added.id).health.since == before.health.since
            assert app.server(added.id).health.state is State.HEALTHY
            changes = (await app.history(added.id)).transitions
    assert [change.after for change in changes] == [State.HEALTHY]


async def test_edit_that_fails_its_check_leaves_the_server_as_it_was(app: App) -> None:
    async with MockOpenCode() as server:
        added = await app.add_server(server.url)
        with pytest.raises(ServerUnreachable):
            await app.edit_server(added.id, Change(url=NOBODY))
        assert app.server(added.id) == added


async def test_the_race_of_an_edit_whose_server_gets_another_url_while_it_is_checked(
    parts: Parts, settings: Settings
) -> None:
    """The password was checked at one address, and would be sent to another one."""
    app = parts.app
    async with MockOpenCode(password="pw") as here, MockOpenCode() as there:
        added = await app.add_server(here.url, check=False)
        gate = here.hold("/global/health")
        async with asyncio.TaskGroup() as group:
            editing = group.create_task(
                refused(app.edit_server(added.id, Change(password=Secret("pw")))), name="edit"
            )
            await gate.arrived.wait()
            async with codewalk.open(settings) as other:
                await other.edit_server(added.id, Change(url=there.url))
            gate.release()
    assert editing.result().fields == ["url"]
    profile = app.server(added.id).profile
    assert (profile.url, profile.basic_auth_password) == (there.url, None)


async def refused(edit: Awaitable[object]) -> EditConflict:
    with pytest.raises(EditConflict) as error:
        await edit
    return error.value


async def test_edits_of_two_processes_that_name_different_fields_are_merged(
    settings: Settings,
) -> None:
    async with codewalk.open(settings) as one:
        server = await one.add_server(NOBODY, check=False)
        async with codewalk.open(settings) as other:
            base = editable_values(server.profile)
            await other.edit_server(
                server.id, Change(label="Theirs", health_check={"rise": 3}), base=base
            )
            edited = await one.edit_server(
                server.id,
                Change(url="http://127.0.0.1:2", health_check={"fall": 4}),
                base=base,
                check=False,
            )
    profile = edited.profile
    assert (profile.url, profile.label) == ("http://127.0.0.1:2", "Theirs")
    assert (profile.health_check.rise, profile.health_check.fall) == (3, 4)


async def test_an_edit_without_a_base_replaces_what_it_names(settings: Settings) -> None:
    async with codewalk.open(settings) as one:
        server = await one.add_server(NOBODY, check=False)
        async with codewalk.open(settings) as other:
            await other.edit_server(server.id, Change(label="Theirs"))
            assert (await one.edit_server(server.id, Change(label="Mine"))).name == "Mine"


async def test_the_race_of_two_moves_by_one_place(settings: Settings) -> None:
    """The place was looked up in the list before the other process changed it."""
    async with codewalk.open(settings) as one:
        for name in ("a", "b", "c"):
            await one.add_server(name, label=name, check=False)
        async with codewalk.open(settings) as other:
            await other.move_server("a", before=None)
            await one.move_server_by("c", places=-1)
            assert [server.name for server in one.servers()] == ["c", "b", "a"]


async def test_the_race_of_a_default_that_is_cleared_while_another_is_chosen(
    settings: Settings,
) -> None:
    async with codewalk.open(settings) as one:
        for name in ("a", "b"):
            await one.add_server(name, label=name, check=False)
        await one.set_default("a")
        async with codewalk.open(settings) as other:
            await other.set_default("b")
            await one.clear_default("a")
            default = one.default()
            assert default
            assert default.name == "b"
            await one.clear_default()
            assert one.default() is None


async def test_active_server_stays_active_when_its_url_changes(app: App) -> None:
    async with MockOpenCode() as here, MockOpenCode() as there:
        added = await app.add_server(here.url)
        moved = await app.edit_server(added.id, Change(url=there.url))
    assert (moved.id, moved.profile.url, moved.active) == (
        added.id,
        there.url,
        True,
    )


async def test_new_password_replaces_the_old_one_and_no_auth_drops_it(app: App) -> None:
    async with MockOpenCode(password="new") as server:
        added = await app.add_server(server.url, password=Secret("old"), check=False)
        await app.edit_server(added.id, Change(password=Secret("new")))
        with pytest.raises(ServerUnreachable, match="asks for a user name"):
            await app.edit_server(added.id, Change(no_auth=True))


async def test_unhealthy_server_is_made_active_by_force_alone(app: App) -> None:
    async with MockOpenCode() as server:
        await app.add_server(server.url, label="good")
        await app.add_server(NOBODY, label="bad", check=False)
        with pytest.raises(ServerUnhealthy, match="refused"):
            await app.switch_to("bad")
        active = app.active()
        assert active
        assert active.name == "good"
        assert (await app.switch_to("bad", force=True)).active


async def test_server_that_came_back_is_not_refused_on_old_news(parts: Parts, app: App) -> None:
    async with MockOpenCode() as server:
        await app.add_server("box", check=False)
        await server.stop()
        await app.add_server(server.url, label="back", check=False)
        assert (await app.check("back")).health.state is State.UNHEALTHY
        await server.start()
        parts.monitor.forget(app.server("back").id)
        assert (await app.switch_to("back")).active


async def test_minus_names_the_previously_active_server(app: App) -> None:
    await app.add_server("one", check=False)
    await app.add_server("two", check=False)
    with pytest.raises(ServerNotFound):
        await app.switch_to("-", force=True)
    await app.switch_to("two", force=True)
    assert [server.previous for server in app.servers()] == [True, False]
    assert (await app.switch_to("-", force=True)).name == "one"
    assert (await app.switch_to("-", force=True)).name == "two"


@pytest.mark.parametrize(
    ("typed", "suggestion"),
    [("127.0.0.2", "http://127.0.0.2:4096"), ("127.0.0.2:1", None)],
)
async def test_usual_port_is_offered_where_none_was_typed_and_nothing_answers(
    app: App, typed: str, suggestion: str | None
) -> None:
    # Nothing listens on port 80 of this machine's second address.
    with pytest.raises(ServerUnreachable) as refused:
        await app.add_server(typed)
    assert refused.value.suggestion == suggestion
    assert f"{suggestion}?" in refused.value.message or suggestion is None
    assert app.drafts.suggest_url(typed, await app.drafts.test_connection(typed)) == suggestion
    saved = await app.add_server("elsewhere", check=False)
    with pytest.raises(ServerUnreachable) as refused:
        await app.edit_server(saved.id, Change(url=typed))
    assert refused.value.suggestion == suggestion


async def test_https_is_offered_where_a_port_uses_tls(app: App, tmp_path: Path) -> None:
    context = server_context(write_certificate(tmp_path, host="127.0.0.1", days=30))
    async with MockOpenCode(ssl_context=context) as server:
        with pytest.raises(ServerUnreachable) as refused:
            await app.add_server(f"127.0.0.1:{server.port}")
    assert refused.value.suggestion == server.url
    assert refused.value.message.endswith(f" Is it {server.url}?")


@pytest.mark.parametrize("reason", list(Reason))
def test_another_url_is_offered_only_where_it_may_change_something(
    app: App, reason: Reason
) -> None:
    expected = dict.fromkeys(
        (Reason.REFUSED, Reason.TIMEOUT, Reason.UNREACHABLE), "http://devbox:4096"
    )
    expected[Reason.TLS] = "https://devbox"
    offered = app.drafts.suggest_url("devbox", HealthStatus(reason=reason))
    assert offered == expected.get(reason)


async def test_preview_returns_the_url_to_be_saved_or_the_error(app: App) -> None:
    saved = await app.add_server("devbox:4096", label="Dev box", check=False)
    assert app.drafts.preview_url(" HTTP://me:s3cr3t@Other:80/x/ ") == "http://other/x"
    assert app.drafts.preview_url("DEVBOX:4096/", except_id=saved.id) == saved.profile.url
    with pytest.raises(DuplicateServer, match="Dev box"):
        app.drafts.preview_url("me:s3cr3t@DEVBOX:4096/")
    with pytest.raises(InvalidURL) as refused:
        app.drafts.preview_url("http://me:s3cr3t@devbox:x")
    assert "s3cr3t" not in f"{refused.value.message} {refused.value.value}"


async def test_all_servers_are_checked_concurrently_and_returned_in_list_order(app: App) -> None:
    async with MockOpenCode() as good, MockOpenCode() as bad:
        for mock, label in ((bad, "bad"), (good, "good")):
            await app.add_server(mock.url, label=label, check=False)
        bad.script("*", page())
        gates = [mock.hold("/global/health") for mock in (good, bad)]
        async with asyncio.TaskGroup() as group:
            checking = group.create_task(app.check_all(), name="all")
            for gate in gates:
                await gate.arrived.wait()
            for gate in gates:
                gate.release()
    results = [(server.name, server.health.state) for server in checking.result()]
    assert results == [("bad", State.UNHEALTHY), ("good", State.HEALTHY)]


async def test_servers_that_are_named_are_checked_once_each_and_no_others(app: App) -> None:
    async with MockOpenCode() as one, MockOpenCode() as two:
        named = await app.add_server(one.url, label="one", check=False)
        await app.add_server(two.url, label="two", check=False)
        assert [server.id for server in await app.check_all(["ONE", named.id])] == [named.id]
        assert (one.count("/global/health"), two.requests) == (1, [])
        with pytest.raises(ServerNotFound):
            await app.check_all(["one", "nobody"])


async def test_server_removed_while_all_are_checked_is_left_out(app: App) -> None:
    async with MockOpenCode() as goes, MockOpenCode() as stays:
        gone = await app.add_server(goes.url, check=False)
        left = await app.add_server(stays.url, check=False)
        gate = goes.hold("/global/health")
        async with asyncio.TaskGroup() as group:
            checking = group.create_task(app.check_all(), name="all")
            await gate.arrived.wait()
            await app.remove_server(gone.id)
    # The active mark is that of the end, when the fallback has it.
    assert [(s.id, s.active) for s in checking.result()] == [(left.id, True)]


async def test_moved_server_stays_where_it_was_put(settings: Settings) -> None:
    async with codewalk.open(settings) as app:
        for name in ("one", "two", "three"):
            await app.add_server(name, label=name, check=False)
        with app.announcer.listen() as events:
            assert (await app.move_server("three", before="one")).name == "three"
            await app.move_server("one", before=None)
            results = [events.get_nowait().kind for _ in range(events.qsize())]
        with pytest.raises(ServerNotFound):
            await app.move_server("one", before="nobody")
    assert results == [Kind.SERVERS, Kind.SERVERS]
    async with codewalk.open(settings) as app:
        assert [server.name for server in app.servers()] == ["three", "two", "one"]
        active = app.active()
        assert active
        assert active.name == "one"


async def test_removal_of_the_active_server_falls_back_to_a_healthy_one(app: App) -> None:
    async with MockOpenCode() as server:
        first = await app.add_server("one", check=False)
        await app.add_server("two", check=False)
        healthy = await app.add_server(server.url)
        removed = await app.remove_server(first.id)
    assert (removed.removed, removed.active) == (first.id, healthy.id)


async def test_default_survives_and_is_active_after_a_start(settings: Settings) -> None:
    async with codewalk.open(settings) as app:
        await app.add_server("one", check=False)
        await app.add_server("two", check=False, default=True)
    async with codewalk.open(settings) as command:
        active = command.active()
        assert active
        assert active.name == "one"
    async with codewalk.open(settings, watch=True) as started:
        active = started.active()
        assert active
        assert active.name == "two"


async def test_password_is_in_no_file_of_the_data_folder(settings: Settings) -> None:
    async with codewalk.open(settings) as app:
        await app.add_server("one", password=Secret("needle in a haystack"), check=False)
        found = [p for p in _files(settings.data_dir) if b"needle" in p.read_bytes()]
    assert found == []


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]

"""`codewalk hook`: programs and URLs that are run or called for notices about servers."""

import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from codewalk.cli.errors import UsageMistake
from codewalk.cli.options import BuildOptions, Group, Json
from codewalk.cli.output import print_message, print_result
from codewalk.cli.runner import run_with_app
from codewalk.cli.tables import hook_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codewalk.app.app import App
    from codewalk.notifications.hook import Hook
    from codewalk.notifications.notice import NoticeKind

HOOK_KINDS: Final = ("command", "webhook")
HOOK_EVENTS: Final = ("down", "up", "version")

_MAX_URL_BYTES: Final = 65_536

Id = Annotated[str, typer.Argument(metavar="ID", help="The hook's id, or the beginning of its id.")]


def command(build_options: BuildOptions) -> Any:
    """Return the Click command."""
    group = Group(build_options, "Run programs or call URLs when servers go down or come back.")
    group.add("list", _list, example="codewalk hook list")
    group.add("add", _add, example="codewalk hook add command --on down -- notify-send CodeWalk")
    group.add("remove", _remove, example="codewalk hook remove 3f2a")
    group.add("test", _test, example="codewalk hook test 3f2a")
    return group.command()


def _list(as_json: Json = False) -> None:
    """Show all hooks. Of a URL only the host is shown: the rest is often a secret."""

    async def work(app: "App") -> "Sequence[Hook]":
        return await app.hooks.list()

    hooks = run_with_app(work, as_json=as_json)
    if as_json or hooks:
        document = [hook.to_json() for hook in hooks]
        print_result(document, as_json=as_json, text=lambda: hook_table(hooks))
    else:
        print_message("There are no hooks yet; add one with `codewalk hook add`.")


def _add(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="`command` or `webhook`.")],
    target: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET",
            help="The program and its arguments, after `--`; or the URL, or `-` to read it from "
            "standard input, which keeps it out of process lists.",
        ),
    ],
    on: Annotated[
        str | None,
        typer.Option("--on", metavar="EVENTS", help="Some of down,up,version; by default, all."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a program to run or a URL to call. It is given the event as JSON."""
    if kind not in HOOK_KINDS:
        raise UsageMistake(f"KIND is `command` or `webhook`, not {kind!r}.")
    if kind == "webhook" and len(target) != 1:
        raise UsageMistake("A webhook takes one URL.")
    events = _events(on)
    url = _read_url() if target == ["-"] else target[0]

    async def work(app: "App") -> "Hook":
        if kind == "webhook":
            return await app.hooks.add_webhook(url, events)
        return await app.hooks.add_command(target, events)

    hook = run_with_app(work, as_json=as_json)
    line = f"Added hook {hook.id[:8]}; test it with `codewalk hook test {hook.id[:8]}`."
    print_result(hook.to_json(), as_json=as_json, text=line)


def _remove(ref: Id, as_json: Json = False) -> None:
    """Remove a hook."""

    async def work(app: "App") -> "Hook":
        return await app.hooks.remove(ref)

    hook = run_with_app(work, as_json=as_json)
    print_result({"removed": hook.id}, as_json=as_json, text=f"Removed hook {hook.id[:8]}.")


def _test(ref: Id, as_json: Json = False) -> None:
    """Run or call a hook once, with the event `test`. Fails if the hook fails."""

    async def work(app: "App") -> "Hook":
        return await app.hooks.test(ref)

    hook = run_with_app(work, progress="testing the hook", as_json=as_json)
    print_result(hook.to_json(), as_json=as_json, text=f"Hook {hook.id[:8]} works.")


def _events(text: str | None) -> "list[NoticeKind]":
    # Imported here: it loads the core, which `--help` doesn't need.
    from codewalk.notifications.notice import NoticeKind

    if text is None:
        return []
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in HOOK_EVENTS:
            raise UsageMistake(
                f"--on takes {', '.join(HOOK_EVENTS)}, separated by commas, not {name!r}."
            )
    return [NoticeKind(name) for name in names]


def _read_url() -> str:
    return sys.stdin.readline(_MAX_URL_BYTES).strip()

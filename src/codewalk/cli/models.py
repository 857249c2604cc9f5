"""`codewalk model`: the models of a server."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from codewalk.cli.errors import UsageMistake
from codewalk.cli.options import BuildOptions, Group, Json, ServerOption
from codewalk.cli.output import print_message, print_result
from codewalk.cli.runner import run_with_app
from codewalk.cli.tables import model_table

if TYPE_CHECKING:
    from codewalk.app.app import App
    from codewalk.workspace.models import ModelList

_FETCHING: Final = "fetching the models"


def command(build_options: BuildOptions) -> Any:
    """Return the Click command."""
    group = Group(build_options, "Show and select a server's models.")
    group.add("list", _list, example="codewalk model list")
    group.add("use", _use, example="codewalk model use anthropic/claude-sonnet-4-5")
    return group.command()


def _list(server: ServerOption = None, as_json: Json = False) -> None:
    """Show the models of a server's connected providers."""

    async def work(app: "App") -> "ModelList":
        return await app.work_on(server).models()

    model_list = run_with_app(work, progress=_FETCHING, as_json=as_json)
    if as_json or model_list.models:
        print_result(model_list.to_json(), as_json=as_json, text=lambda: model_table(model_list))
    else:
        print_message(
            "No provider is connected; connect one with `opencode auth login` on the server."
        )


def _use(
    model: Annotated[
        str | None,
        typer.Argument(metavar="PROVIDER/MODEL", help="A name from `codewalk model list`."),
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Select none: the server decides.")
    ] = False,
    server: ServerOption = None,
    as_json: Json = False,
) -> None:
    """Select a model for a server. Other servers keep their own selection."""
    if clear == (model is not None):
        raise UsageMistake("Name a model, PROVIDER/MODEL, or use `--clear`.")

    async def work(app: "App") -> "ModelList":
        return await app.work_on(server).use_model(model)

    model_list = run_with_app(work, progress=_FETCHING, as_json=as_json)
    chosen = f"Selected {model_list.selected}." if model else "Selected none; the server decides."
    print_result(model_list.to_json(), as_json=as_json, text=chosen)

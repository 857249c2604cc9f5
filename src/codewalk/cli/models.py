"""`codewalk model`: the models of the active server."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from codewalk.cli.options import BuildOptions, Group, Json
from codewalk.cli.output import print_message, print_result
from codewalk.cli.runner import run_with_app
from codewalk.cli.tables import model_table

if TYPE_CHECKING:
    from codewalk.app.app import App
    from codewalk.workspace.models import ModelList

_ASKING = "asking the active server"


def command(build_options: BuildOptions) -> Any:
    """The group, ready to be run."""
    group = Group(build_options, "Show and select the active server's models.")
    group.add("list", _list, example="codewalk model list")
    group.add("use", _use, example="codewalk model use anthropic/claude-sonnet-4-5")
    return group.command()


def _list(as_json: Json = False) -> None:
    """Show the models that the active server's connected providers offer."""

    async def work(app: "App") -> "ModelList":
        return await app.work.models()

    found = run_with_app(work, progress=_ASKING, as_json=as_json)
    if as_json or found.models:
        print_result(found.to_json(), as_json=as_json, text=lambda: model_table(found))
    else:
        print_message(
            "No provider is connected on this server; `opencode auth login` there connects one."
        )


def _use(
    model: Annotated[
        str, typer.Argument(metavar="PROVIDER/MODEL", help="As `codewalk model list` names it.")
    ],
    as_json: Json = False,
) -> None:
    """Select a model for the active server; it is kept for that server alone."""

    async def work(app: "App") -> "ModelList":
        return await app.work.use_model(model)

    found = run_with_app(work, progress=_ASKING, as_json=as_json)
    print_result(found.to_json(), as_json=as_json, text=f"Selected {found.selected}.")

"""The options and arguments that several commands share, and how their groups are made."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from codewalk.cli.completion import complete_server


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildOptions:
    """How commands are made, so that each run loads only what it shows.

    `markup` draws help with Rich, or as plain text, which is quicker. `with_help` has the options
    for help and completion: Typer puts their values through Pydantic, given or not, and loading
    that takes 80 ms.
    """

    markup: Literal["rich"] | None = None
    with_help: bool = True

    def typer_settings(self, *, completion: bool = False) -> dict[str, Any]:
        """What `typer.Typer` is made with."""
        return {
            "add_completion": completion and self.with_help,
            "add_help_option": self.with_help,
            "context_settings": {"help_option_names": ["-h", "--help"]},
            "pretty_exceptions_enable": False,
            "rich_markup_mode": self.markup,
        }


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, errors included.")]
Ref = Annotated[
    str,
    typer.Argument(
        metavar="REF",
        autocompletion=complete_server,
        help="The server: its label, URL or id, or the beginning of its id.",
    ),
]
Label = Annotated[
    str | None, typer.Option("--label", metavar="LABEL", help="A name of your own for it.")
]
Username = Annotated[
    str | None,
    typer.Option("--username", metavar="NAME", help="The user name of its Basic authentication."),
]
PasswordStdin = Annotated[
    bool,
    typer.Option(
        "--password-stdin",
        help="Read its password as one line of standard input; a terminal is asked for it.",
    ),
]
NoCheck = Annotated[
    bool, typer.Option("--no-check", help="Save it without checking that it answers.")
]


class Group:
    """A command that has commands of its own."""

    def __init__(self, build_options: BuildOptions, help_text: str) -> None:
        self._build_options = build_options
        self._typer = typer.Typer(help=help_text, **build_options.typer_settings())
        self._typer.callback(invoke_without_command=True, add_help_option=build_options.with_help)(
            require_subcommand
        )

    def add(self, name: str, function: Callable[..., None], *, example: str) -> None:
        """Adds a command, whose docstring is its help."""
        self._typer.command(
            name, epilog=f"Example: {example}", add_help_option=self._build_options.with_help
        )(function)

    def command(self) -> Any:
        """The group, ready to be run."""
        return typer.main.get_command(self._typer)


def build_command(
    build_options: BuildOptions,
    name: str,
    function: Callable[..., Any],
    *,
    example: str,
    **more: Any,
) -> Any:
    """A command that stands alone, ready to be run."""
    app = typer.Typer(**build_options.typer_settings())
    app.command(
        name, epilog=f"Example: {example}", add_help_option=build_options.with_help, **more
    )(function)
    return typer.main.get_command(app)


def require_subcommand(context: typer.Context) -> None:
    """What a group does where no command is named: wrong usage, so its help goes to stderr."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)

"""Options and arguments that several commands share, and the groups of commands.

What is invalid by its form alone, such as a number out of bounds, is wrong usage (exit status 2):
an option that takes such a value has a parser, which raises `UsageMistake`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from codewalk.cli.completion import complete_server
from codewalk.cli.errors import EXIT_USAGE, UsageMistake


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildOptions:
    """Options for building the commands: each run loads only what it needs.

    Attributes:
        markup: Draws help texts with Rich; None gives plain text, which is quicker.
        with_help: Adds the options for help and completion. Typer passes their values through
            Pydantic whether they are given or not, and loading that takes 80 ms.
    """

    markup: Literal["rich"] | None = None
    with_help: bool = True

    def typer_settings(self, *, completion: bool = False) -> dict[str, Any]:
        """Return the arguments for `typer.Typer`."""
        return {
            "add_completion": completion and self.with_help,
            "add_help_option": self.with_help,
            "context_settings": {"help_option_names": ["-h", "--help"]},
            "pretty_exceptions_enable": False,
            "rich_markup_mode": self.markup,
        }


class Group:
    """A command that has commands of its own."""

    def __init__(self, build_options: BuildOptions, help_text: str) -> None:
        self._with_help = build_options.with_help
        self._typer = typer.Typer(help=help_text, **build_options.typer_settings())
        self._typer.callback(invoke_without_command=True, add_help_option=self._with_help)(
            require_subcommand
        )

    def add(self, name: str, function: Callable[..., None], *, example: str) -> None:
        """Add a command; the docstring of `function` is its help text."""
        self._typer.command(name, epilog=f"Example: {example}", add_help_option=self._with_help)(
            function
        )

    def command(self) -> Any:
        """Return the group as a Click command."""
        return typer.main.get_command(self._typer)


def build_command(
    build_options: BuildOptions,
    name: str,
    function: Callable[..., Any],
    *,
    example: str,
    **settings: Any,
) -> Any:
    """Return a Click command that belongs to no group.

    Args:
        build_options: How to build it.
        name: The command's name.
        function: Does the work; its docstring is the help text.
        example: A command line, shown below the help text.
        **settings: Further arguments for Typer's `command`.
    """
    app = typer.Typer(**build_options.typer_settings())
    app.command(
        name, epilog=f"Example: {example}", add_help_option=build_options.with_help, **settings
    )(function)
    return typer.main.get_command(app)


def require_subcommand(context: typer.Context) -> None:
    """Print the help of a group on stderr and exit as for wrong usage, if no command is named."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(EXIT_USAGE)


def number_parser(
    option: str,
    *,
    minimum: float,
    maximum: float,
    whole: bool = False,
    unit: str = "",
    or_else: str = "",
) -> Callable[[Any], float]:
    """Return the parser of an option that takes a number within bounds.

    Args:
        option: The option's name, for the message.
        minimum: The least number, itself included.
        maximum: The greatest number, itself included.
        whole: Whether it has to be a whole number; others may have a decimal comma.
        unit: The unit in the plural, such as `seconds`.
        or_else: What else the option takes, for the message.
    """
    kind = "a whole number" if whole else "a number"
    of_unit = f" of {unit}" if unit else ""
    also = f", or {or_else}" if or_else else ""

    def parse(text: Any) -> float:
        try:
            number = int(text) if whole else float(str(text).replace(",", "."))
        except ValueError:
            number = float("nan")
        # NaN compares as false with everything, so that it is within no bounds.
        if not minimum <= number <= maximum:
            raise UsageMistake(
                f"{option} takes {kind}{of_unit} from {minimum:g} to {maximum:g}{also}, "
                f"not {text!r}."
            )
        return number

    return parse


Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document; print errors as JSON too.")
]
Ref = Annotated[
    str,
    typer.Argument(
        metavar="REF",
        autocompletion=complete_server,
        help="The server: its label, URL or id, or the beginning of its id.",
    ),
]
ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="REF",
        autocompletion=complete_server,
        help="The server, active or not; by default, the active one.",
    ),
]
Label = Annotated[
    str | None, typer.Option("--label", metavar="LABEL", help="The name to show for the server.")
]
Username = Annotated[
    str | None,
    typer.Option("--username", metavar="NAME", help="The user name for Basic authentication."),
]
PasswordStdin = Annotated[
    bool,
    typer.Option(
        "--password-stdin",
        help="Read the password from standard input, one line; on a terminal, prompt for it.",
    ),
]
NoCheck = Annotated[bool, typer.Option("--no-check", help="Save without checking the server.")]

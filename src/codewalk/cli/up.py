"""`codewalk up`: runs the app until a signal stops it."""

import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from codewalk.cli.errors import UsageMistake
from codewalk.cli.options import BuildOptions, build_command, number_parser
from codewalk.cli.output import is_terminal, print_line, print_message

if TYPE_CHECKING:
    from codewalk.app.app import App
    from codewalk.cli.listen_address import ListenAddress
    from codewalk.secret import Secret

DEFAULT_PORT: Final = 4090

MIN_TOKEN_LENGTH: Final = 16
"""Characters that a token of the user's own has at least."""

_parse_port: Final = number_parser("--port", minimum=0, maximum=65_535, whole=True)


def command(build_options: BuildOptions) -> Any:
    """Return the Click command."""
    return build_command(build_options, "up", _up, example="codewalk up --port 4091 --no-browser")


def _up(
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="H",
            help="The address to listen on. One that others can reach needs CODEWALK_TOKEN set.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            "--port", metavar="P", parser=_parse_port, help="The port; 0 is any free one."
        ),
    ] = DEFAULT_PORT,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="A host name that browsers may use for it, of a reverse proxy for example. "
            "Can be given several times.",
        ),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Don't open the browser.")
    ] = False,
    no_local: Annotated[
        bool, typer.Option("--no-local", help="Don't start an OpenCode server on this machine.")
    ] = False,
) -> None:
    """Start the app, and with it an OpenCode server on this machine. Ctrl-C stops both."""
    # Imported here: they load the core and the web server, which no other command needs.
    from codewalk.cli.browser import can_open_browser, open_browser
    from codewalk.cli.instance import OpenStore, single_instance
    from codewalk.cli.listen_address import listen, parse_allowed_hosts, resolve_address
    from codewalk.cli.log_file import configure_logging
    from codewalk.cli.serve import ServeOptions, serve_app
    from codewalk.settings import Settings
    from codewalk.web.token import load_token

    settings = Settings.from_environment()
    configure_logging(settings, to_stderr=True)

    allowed_hosts = (
        *parse_allowed_hosts("--allow-host", allow_host or ()),
        *parse_allowed_hosts("CODEWALK_ALLOWED_HOSTS", settings.allowed_hosts),
    )
    address = resolve_address(host, port)
    _require_protection(address, settings.token)
    with single_instance(settings) as instance:
        token = load_token(settings)
        sock, address = listen(address)
        with closing(sock):
            url = address.url_with(token)
            instance.record_url(address.url)

            def on_open(app: "App") -> None:
                if file := app.store_file:
                    store = OpenStore(path=app.store_name, device=file.device, inode=file.inode)
                    instance.record_store(store)

            def on_ready(invitation: "Secret") -> None:
                print_line(f"CodeWalk is ready at {url}")
                if is_terminal(sys.stderr):
                    print_message("Press Ctrl-C to stop it.")
                if not no_browser and can_open_browser(os.environ, sys.platform):
                    open_browser(address.url_with(invitation))

            serve_app(
                ServeOptions(
                    settings=settings,
                    sock=sock,
                    hosts=address.hosts(),
                    allowed_hosts=allowed_hosts,
                    token=token,
                    on_open=on_open,
                    manage_local=not no_local,
                    on_ready=on_ready,
                )
            )


def _require_protection(address: "ListenAddress", token: "Secret | None") -> None:
    """Refuse an address that others can reach, unless the user has set a token of their own."""
    if address.is_loopback:
        return
    if token is None or len(token.reveal()) < MIN_TOKEN_LENGTH:
        raise UsageMistake(
            f"Others can reach {address.host}: first set CODEWALK_TOKEN to a secret text of your "
            f"own, at least {MIN_TOKEN_LENGTH} characters long."
        )
    print_message(
        "warning: the connection is plain HTTP, so that others on its way can read it, the token "
        "included. Put a TLS proxy or an SSH tunnel in front of it."
    )

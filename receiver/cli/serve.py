"""`receiver serve`: the service."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from receiver.cli import options, screen
from receiver.cli.failures import UsageError

if TYPE_CHECKING:
    from receiver.settings import Loaded


class Role(StrEnum):
    """What a process of the service does; every one serves health and metrics."""

    ALL = "all"
    CALLBACKS = "callbacks"
    API = "api"
    WORKER = "worker"


def serve(
    *,
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="0: a free one.")] = 8080,
    role: Annotated[
        list[Role] | None,
        typer.Option(
            "--role",
            metavar="ROLE",
            help="all (the default), callbacks, api or worker; repeatable. On SQLite only all.",
            show_default=False,
        ),
    ] = None,
    folder: options.DataFolder = None,
    as_json: options.Json = False,
    until_input_ends: options.UntilInputEnds = False,
) -> None:
    """Run the service until Ctrl-C."""
    from receiver import bootstrap
    from receiver.cli.local import loaded_settings, refusals, uses_sqlite
    from receiver.cli.running import end_with_input, run_server

    loaded = loaded_settings(folder)
    roles = frozenset(str(one) for one in role or [Role.ALL])
    if uses_sqlite(loaded) and roles != {"all"}:
        raise UsageError(
            "--role: with the embedded database one process does all",
            "roles need a RECEIVER_DATABASE_URL of PostgreSQL",
        )
    if until_input_ends:
        end_with_input()
    with refusals():
        run_server(
            lambda: bootstrap.serve(
                loaded, host=host, port=port, roles=roles, ready=lambda url: _ready(url, loaded, as_json=as_json)
            )
        )


def _ready(url: str, loaded: "Loaded", *, as_json: bool) -> None:
    from receiver import bootstrap

    key_file = bootstrap.api_key_path(loaded).absolute()
    folder = loaded.settings.data_dir.absolute()
    if as_json:
        screen.document({"url": url, "data_dir": str(folder), "api_key_file": str(key_file)})
        return
    screen.line("The receiver listens on ", screen.ours(url, "bold"))
    _fact("data", str(folder))
    made = loaded.settings.api_keys is None
    _fact("API key", str(key_file) if made else "as set in RECEIVER_API_KEYS")
    public = loaded.settings.public_url
    if public:
        _fact("callbacks", public)
    else:
        _fact("callbacks", "RECEIVER_PUBLIC_URL is not set:")
        _fact("", "Runware tasks carry no webhookURL and are polled")
    for provider in loaded.options:
        has_key = provider in loaded.keys
        _fact(provider, "has a key" if has_key else f"no {provider.upper()}_API_KEY, so it takes no tasks")


def _fact(label: str, value: str) -> None:
    screen.line("  ", screen.foreign(f"{label:<11}", "dim"), screen.foreign(value))

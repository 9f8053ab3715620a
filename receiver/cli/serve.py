"""`receiver serve`: the service."""

import contextlib
import io
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TextIO
from urllib.parse import urlsplit

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
            help="callbacks, api, worker, or all, the default; again for several. Roles need PostgreSQL.",
            show_default=False,
        ),
    ] = None,
    folder: options.DataFolder = None,
    as_json: options.Json = False,
    until_input_ends: options.UntilInputEnds = False,
) -> None:
    """Run the service until Ctrl-C."""
    from receiver import bootstrap
    from receiver.cli.local import loaded_settings, refusals
    from receiver.cli.running import end_with_input, run_server

    loaded = loaded_settings(folder)
    roles = frozenset(str(one) for one in role or [Role.ALL])
    if roles != {"all"} and not bootstrap.shares_database(loaded):
        raise UsageError("--role: a SQLite database has one process, which does all; roles need PostgreSQL")
    if until_input_ends:
        end_with_input()
    watched = sys.stderr.isatty()
    logs = _LogsBelow(sys.stderr, held=watched)

    def ready(url: str) -> None:
        _ready(url, loaded, roles, as_json=as_json)
        logs.release(with_gap=watched)

    try:
        with refusals(), contextlib.redirect_stderr(logs):
            run_server(lambda: bootstrap.serve(loaded, host=host, port=port, roles=roles, ready=ready))
    finally:
        logs.release()
    if watched:
        screen.line("\nstopped", error=True)


class _LogsBelow(io.TextIOBase):
    """Standard error whose first lines wait until the banner stands above them, where a person watches."""

    def __init__(self, stream: TextIO, *, held: bool) -> None:
        self._stream = stream
        self._waiting: list[str] | None = [] if held else None

    def write(self, text: str, /) -> int:
        if self._waiting is None:
            return self._stream.write(text)
        self._waiting.append(text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def release(self, *, with_gap: bool = False) -> None:
        """Write what waited, and from now on everything at once."""
        waiting, self._waiting = self._waiting, None
        with contextlib.suppress(OSError):  # whoever read it may be gone
            self._stream.write(("\n" if with_gap else "") + "".join(waiting or ()))
            self._stream.flush()


def _ready(url: str, loaded: "Loaded", roles: frozenset[str], *, as_json: bool) -> None:
    from receiver import bootstrap

    key_file = bootstrap.api_key_path(loaded).absolute()
    folder = loaded.settings.data_dir.absolute()
    if as_json:
        document = {"url": url, "data_dir": str(folder), "api_key_file": str(key_file), "roles": sorted(roles)}
        screen.document(document)
        return
    screen.line("The receiver listens on ", screen.ours(url, "bold"))
    if "all" not in roles:
        _fact("roles", ", ".join(sorted(roles)))
    _fact("data", str(folder))
    made = loaded.settings.api_keys is None
    _fact("API key", str(key_file) if made else "as set in RECEIVER_API_KEYS")
    public = loaded.settings.public_url
    if public:
        _fact("callbacks", public)
        if _leads_elsewhere(public, url):
            _fact("", "that is another port of this machine: see `receiver doctor`")
    else:
        _fact("callbacks", "RECEIVER_PUBLIC_URL is not set:")
        _fact("", "Runware tasks carry no webhookURL and are polled")
    if {"all", "api"} & roles:
        _fact("dashboard", f"{url}/ (sign in with the API key)")
        _fact("docs", f"{url}/docs (any name, the API key as password)")
    for provider in loaded.options:
        has_key = provider in loaded.keys
        _fact(provider, "has a key" if has_key else f"no {provider.upper()}_API_KEY, so it takes no tasks")


def _leads_elsewhere(public: str, url: str) -> bool:
    """Tell whether a public URL of this very machine names a port that is not the service's."""
    said, real = urlsplit(public), urlsplit(url)
    return said.hostname in {"127.0.0.1", "localhost", "::1"} and (said.port or 80) != real.port


def _fact(label: str, value: str) -> None:
    screen.line("  ", screen.foreign(f"{label:<11}", "dim"), screen.foreign(value))

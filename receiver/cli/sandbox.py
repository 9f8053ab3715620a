"""`receiver sandbox`: both providers on this machine, with a flag for every fault."""

import errno
import inspect
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from receiver.cli import options, screen
from receiver.cli.failures import CommandError, UsageError
from receiver.sandbox.faults import FaultOption, Kind, fault_options

if TYPE_CHECKING:
    from receiver.sandbox.config import SandboxConfig

ABOUT = "Play both providers on this machine, faults on demand."
_FAULTS = "Faults"
_METAVARS = {
    Kind.SHARE: "SHARE",
    Kind.SECONDS: "SECONDS",
    Kind.SPAN: "FROM,TO",
    Kind.COUNT: "COUNT",
    Kind.STATUS: "STATUS",
    Kind.CHOICE: "WORD",
    Kind.TEXT: "TEXT",
}


def command() -> Callable[..., None]:
    """Return the command. Its fault flags are those that the sandbox says it has."""

    def sandbox(  # what typer fills by name; the faults arrive as texts
        *,
        host: str,
        port: int,
        seed: int | None,
        time_scale: float,
        base_url: str | None,
        service_url: str,
        ca_file: Path | None,
        as_json: bool,
        until_input_ends: bool,
        **faults: str | bool | None,
    ) -> None:
        given = {name: _text(value) for name, value in faults.items() if value is not None}
        config = _config(seed, time_scale, ca_file, given)
        _check_service_url(service_url)
        show = partial(_ready, config=config, service_url=service_url.rstrip("/"), as_json=as_json)
        _serve(host, port, config, base_url, show, until_input_ends=until_input_ends)

    parameters = [*_PARAMETERS, *(_flag(option) for option in fault_options())]
    # Typer reads the options from here; their names are only known now.
    sandbox.__dict__["__signature__"] = inspect.Signature(parameters)
    sandbox.__annotations__ = {}
    return sandbox


def _parameter(name: str, kind: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)


_PARAMETERS = (
    _parameter(
        "host", Annotated[str, typer.Option("--host", metavar="HOST", help="Address to listen on.")], "127.0.0.1"
    ),
    _parameter(
        "port", Annotated[int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="0: a free one.")], 9090
    ),
    _parameter(
        "seed",
        Annotated[
            int | None,
            typer.Option(
                "--seed", metavar="NUMBER", help="The same seed, the same fates, ids and audio. Default: drawn anew."
            ),
        ],
        None,
    ),
    _parameter(
        "time_scale",
        Annotated[
            float,
            typer.Option(
                "--time-scale", metavar="FACTOR", min=0.0, help="Factor on how long generations take, nothing else."
            ),
        ],
        1.0,
    ),
    _parameter(
        "base_url",
        Annotated[
            str | None,
            typer.Option("--base-url", metavar="URL", help="Start of media links, where others reach it under this."),
        ],
        None,
    ),
    _parameter(
        "service_url",
        Annotated[
            str,
            typer.Option(
                "--service-url", metavar="URL", help="Where the service will listen: goes into the lines to export."
            ),
        ],
        options.DEFAULT_URL,
    ),
    _parameter(
        "ca_file",
        Annotated[
            Path | None,
            typer.Option(
                "--ca-file",
                metavar="FILE",
                exists=True,
                dir_okay=False,
                help="Certificates that callbacks trust besides the public ones, such as a local proxy's.",
            ),
        ],
        None,
    ),
    _parameter("as_json", options.Json, default=False),
    _parameter("until_input_ends", options.UntilInputEnds, default=False),
)


def _flag(option: FaultOption) -> inspect.Parameter:
    name = f"--{option.name.replace('_', '-')}"
    words = f" ({', '.join(option.words)})" if option.words else ""
    default = "" if option.default is None else f" Default: {_shown(option.default)}."
    help_text = f"{option.meaning[0].upper()}{option.meaning[1:]}{words}.{default}"
    if option.kind is Kind.FLAG:
        negative = f"--no-{option.name.replace('_', '-')}"
        kind = Annotated[
            bool | None,
            typer.Option(f"{name}/{negative}", help=help_text, rich_help_panel=_FAULTS, show_default=False),
        ]
        return _parameter(option.name, kind, None)
    text = Annotated[
        str | None, typer.Option(name, metavar=_METAVARS[option.kind], help=help_text, rich_help_panel=_FAULTS)
    ]
    return _parameter(option.name, text, None)


def _shown(default: object) -> str:
    if isinstance(default, tuple):
        return ",".join(f"{number:g}" for number in default)
    return f"{default:g}" if isinstance(default, float) else str(default)


def _text(value: str | bool) -> str:
    return value if isinstance(value, str) else str(value).lower()


def _config(seed: int | None, time_scale: float, ca_file: Path | None, typed: dict[str, str]) -> "SandboxConfig":
    from receiver.sandbox.config import SandboxConfig
    from receiver.sandbox.faults_reader import FaultsError, faults_from_text
    from receiver.system import RealSystem

    try:
        faults = faults_from_text(typed)
    except FaultsError as error:
        mistakes = [f"--{mistake.field.replace('_', '-')} {mistake.message}" for mistake in error.mistakes]
        raise UsageError(mistakes[0], *mistakes[1:]) from None
    if ca_file is not None:
        _check_certificates(ca_file)
    # A seed that repeats would give the ids of earlier tasks to new ones, which an old data folder knows already.
    seed = RealSystem().new_id().int % 2**31 if seed is None else seed
    return SandboxConfig(seed=seed, time_scale=time_scale, faults=faults, ca_file=ca_file)


def _check_certificates(path: Path) -> None:
    import ssl

    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:
        raise CommandError(f"{path}: no certificates can be read from it ({error.strerror or error})") from None


def _check_service_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        wrong = parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0
    except ValueError:
        wrong = True
    # A shell reads it.
    if wrong or shlex.quote(url) != url:
        raise UsageError("--service-url should look like http://127.0.0.1:8081")


def _serve(
    host: str,
    port: int,
    config: "SandboxConfig",
    base_url: str | None,
    ready: Callable[[str], None],
    *,
    until_input_ends: bool,
) -> None:
    from receiver.cli.running import end_with_input, run_server
    from receiver.sandbox.server import run as run_sandbox

    if until_input_ends:
        end_with_input()

    try:
        run_server(lambda: run_sandbox(host, port, config, ready, base_url=base_url))
    except OSError as error:
        advice = ("stop what listens there or choose another --port",) if error.errno == errno.EADDRINUSE else ()
        raise CommandError(f"cannot listen on {host}:{port} ({error.strerror})", *advice) from None


def _ready(url: str, config: "SandboxConfig", service_url: str, *, as_json: bool) -> None:
    place = url.partition("://")[2]
    settings = {
        "RECEIVER_RUNWARE_URL": f"{url}/runware/v1",
        "RECEIVER_AIMLAPI_URL": f"{url}/aimlapi",
        "RECEIVER_PUBLIC_URL": service_url,
        "RECEIVER_ALLOWED_PRIVATE_HOSTS": f"{place},{urlsplit(service_url).netloc}",
        "RUNWARE_API_KEY": "sandbox",
        "AIMLAPI_API_KEY": "sandbox",
    }
    if config.time_scale < 1:
        # The first look is made after the interval that the provider asks for: a generation is long over by then.
        settings["RECEIVER_AIMLAPI_POLL_SECONDS"] = f"{max(1.0, 15 * config.time_scale):g}"
    if as_json:
        screen.document({"url": url, "seed": config.seed, "settings": settings})
        return
    screen.line("The sandbox listens on ", screen.ours(url, "bold"))
    hint = "; --time-scale 0.05 makes that a second or two" if config.time_scale == 1 else ""
    times = f"{20 * config.time_scale:g} to {40 * config.time_scale:g} s"
    screen.line(f"Its seed is {config.seed}. A generation takes {times}{hint}.")
    port = urlsplit(service_url).port
    serve = "receiver serve" if port in {None, 8080} else f"receiver serve --port {port}"
    screen.line(f'For `{serve}` in another terminal (the keys may be any text but "invalid"):')
    screen.line("")
    for name, value in settings.items():
        screen.line(f"export {name}={value}")
    screen.line("")
    screen.line(f"Faults: PUT {url}/_sandbox/faults")
    screen.line(f"What really happened: GET {url}/_sandbox/ledger")

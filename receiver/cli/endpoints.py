"""`receiver endpoints`: where your application is told of what happens: add, try, pause, renew the secret, remove."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from receiver.cli import options, screen
from receiver.cli.failures import CommandError, UsageError
from receiver.cli.running import run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rich.text import Text

    from receiver.cli.service import Service
    from receiver.cli.table import Row
    from receiver.sdk import Client, Endpoint, Secret, Trial

    _Outcome = TypeVar("_Outcome")

_Which = Annotated[
    str,
    typer.Argument(
        metavar="ENDPOINT", help="Its id, the first 8 or more characters of that, or its URL.", show_default=False
    ),
]
_SecretFile = Annotated[
    Path | None,
    typer.Option(
        "--secret-file",
        metavar="FILE",
        help="Take the secret (whsec_ and base64) from a file, - for standard input. Default: one is made.",
    ),
]
#: The service counts the deliveries of an endpoint up to here (its description of the interface says so).
_MOST_COUNTED = 10_000
_STYLES = {"active": "green", "paused": "yellow", "stopped": "red"}
#: What a person can do about a trial that failed, by the service's word for why.
_MENDS = {
    "redirect": "redirects are not followed, a signature is for one address: add the one it leads to",
    "gone": "410 means that it wants to hear nothing any more",
    "timeout": "it should answer at once and do its work afterwards",
    "connection": "does it run, and does the service reach it from where it runs?",
    "name": "its host has no address: is it spelt right?",
    "tls": "its certificate is not trusted, or not for this name",
    "forbidden": "it is no public address: allow it with RECEIVER_ALLOWED_PRIVATE_HOSTS=notify=HOST:PORT",
    "secret": "its secret cannot be read with the signing keys there are: give it another with `endpoints rotate`",
}


def family(*, pretty: bool) -> typer.Typer:
    """Return the commands below `endpoints`."""
    app = typer.Typer(
        name="endpoints",
        help="Say where your application is told of what happens.",
        invoke_without_command=True,
        rich_markup_mode="rich" if pretty else None,
    )
    app.callback()(_list_unless_said_otherwise)
    app.command("list")(list_endpoints)
    app.command("add")(add)
    app.command("test")(try_endpoint)
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("rotate")(rotate)
    app.command("remove")(remove)
    return app


def _list_unless_said_otherwise(
    context: typer.Context,
    *,
    as_json: options.Json = False,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    folder: options.KeyFolder = options.DEFAULT_FOLDER,
) -> None:
    """Say where your application is told of what happens; alone, list the endpoints."""
    if context.invoked_subcommand is None:
        list_endpoints(as_json=as_json, url=url, api_key=api_key, folder=folder)
        return
    for name in context.params:
        # They would be taken here and heeded by nobody.
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"options come behind the command: receiver endpoints {context.invoked_subcommand} …")


def list_endpoints(
    *,
    as_json: options.Json = False,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    folder: options.KeyFolder = options.DEFAULT_FOLDER,
) -> None:
    """List endpoints, oldest first."""
    found = _asked(url, api_key, folder, lambda client: client.endpoints())
    if as_json:
        screen.document({"data": [dict(endpoint.document) for endpoint in found]})
        return
    if not found:
        screen.line("No endpoints: nobody is told. Add one with `receiver endpoints add URL`.")
        return
    from receiver.cli.table import Column, table

    width = screen.width()
    shown = None if width is None else options.SHORTEST_ID
    columns = (Column("endpoint"), Column("status"), Column("waiting", numbers=True), Column("dead", numbers=True))
    screen.lines(table(columns, [_row(each, shown) for each in found], long_title="URL", width=width))
    if any(endpoint.dead for endpoint in found):
        screen.line("dead ones are not sent again by themselves: `receiver redrive`", error=True)


def add(
    endpoint_url: Annotated[str, typer.Argument(metavar="URL", help="Where to post to.", show_default=False)],
    *,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Only of these, such as task.succeeded; repeatable."),
    ] = None,
    secret_file: _SecretFile = None,
    as_json: options.Json = False,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    folder: options.KeyFolder = options.DEFAULT_FOLDER,
) -> None:
    """Have a URL told of what happens. Shows its secret, once."""
    secret = _secret_in(secret_file)
    made = _asked(
        url, api_key, folder, lambda client: client.add_endpoint(endpoint_url, types=types or None, secret=secret)
    )
    _show_secret(made, "is told from now on", given=secret is not None, as_json=as_json)
    if not as_json:
        screen.line(f"try it with `receiver endpoints test {made.endpoint.id[: options.SHORTEST_ID]}`", error=True)


def try_endpoint(
    endpoint: _Which,
    *,
    as_json: options.Json = False,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    folder: options.KeyFolder = options.DEFAULT_FOLDER,
) -> None:
    """Send an endpoint a notification that only tries it, now."""

    async def tried(client: "Client", found: "Endpoint") -> "tuple[Endpoint, Trial]":
        return found, await client.test_endpoint(found.id)

    found, trial = _done_to(endpoint, url, api_key, folder, tried)
    if as_json:
        screen.document(dict(trial.document))
    status = f"HTTP {trial.status_code}" if trial.status_code is not None else ""
    if trial.error is not None:
        mend = _MENDS.get(trial.error)
        why = status or trial.error
        raise CommandError(f"{found.url} did not take it: {why}", *([mend] if mend else []))
    if not as_json:
        screen.line(screen.foreign(found.url), f" took it ({status}, {trial.seconds:.2f} s).")
        if found.status != "active":
            mend = f"`receiver endpoints resume {found.id[: options.SHORTEST_ID]}`"
            screen.line("  it is still ", screen.foreign(found.status), f": {mend}")


def pause(
    endpoint: _Which,
    *,
    as_json: options.Json = False,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    folder: options.KeyFolder = options.DEFAULT_FOLDER,
) -> None:
    """Send an endpoint nothing until it is resumed. What happens waits."""
    changed = _done_to(endpoint, url, api_key, folder, lambda client, found: client.pause_endpoint(found.id))
    _show(changed, "what happens waits until `receiver endpoints resume`", as_json=as_json)


def resume(
    endpoint: _Which,
    *,
    as_json: options.Json = False,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    folder: options.KeyFolder = options.DEFAULT_FOLDER,
) -> None:
    """Send to an endpoint again, what waits for it too."""
    changed = _done_to(endpoint, url, api_key, folder, lambda client, found: client.resume_endpoint(found.id))
    _show(changed, f"{_counted(changed.pending)} deliveries wait for it" if changed.pending else "", as_json=as_json)


def rotate(
    endpoint: _Which,
    *,
    overlap: Annotated[
        float | None,
        typer.Option("--overlap", metavar="SECONDS", min=0.0, help="How long the former secret signs too."),
    ] = None,
    secret_file: _SecretFile = None,
    as_json: options.Json = False,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    folder: options.KeyFolder = options.DEFAULT_FOLDER,
) -> None:
    """Give an endpoint a new secret. Shows it, once."""
    secret = _secret_in(secret_file)
    made = _done_to(
        endpoint,
        url,
        api_key,
        folder,
        lambda client, found: client.rotate_secret(found.id, secret=secret, overlap_seconds=overlap),
    )
    _show_secret(made, "has a new secret; for a while the former one signs too", given=bool(secret), as_json=as_json)


def remove(
    endpoint: _Which,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: options.Json = False,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    folder: options.KeyFolder = options.DEFAULT_FOLDER,
) -> None:
    """Tell an endpoint nothing any more. What waits for it is forgotten, and all it was told."""

    async def removed(client: "Client", found: "Endpoint") -> "Endpoint":
        if not yes:
            _ask(found, as_json=as_json)
        await client.remove_endpoint(found.id)
        return found

    found = _done_to(endpoint, url, api_key, folder, removed)
    if as_json:
        screen.document(dict(found.document))
    else:
        screen.line("Endpoint ", screen.foreign(found.id), " is removed: ", screen.foreign(found.url))


def _asked(url: str, api_key: str | None, folder: Path, ask: "Callable[[Client], Awaitable[_Outcome]]") -> "_Outcome":
    from receiver.cli.service import service

    speaking_with: Service = service(url, api_key, folder)

    async def asked() -> "_Outcome":
        async with speaking_with.connect() as client:
            return await ask(client)

    return run(asked)


def _done_to(
    which: str,
    url: str,
    api_key: str | None,
    folder: Path,
    act: "Callable[[Client, Endpoint], Awaitable[_Outcome]]",
) -> "_Outcome":
    from receiver.cli.naming import named_endpoint

    async def found_first(client: "Client") -> "_Outcome":
        return await act(client, await named_endpoint(client, which))

    return _asked(url, api_key, folder, found_first)


def _secret_in(path: Path | None) -> str | None:
    """Read a secret from where no list of processes shows it."""
    if path is None:
        return None
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"--secret-file: {path} cannot be read ({reason})") from None
    return text.strip()


def _ask(endpoint: "Endpoint", *, as_json: bool) -> None:
    """Ask whoever types; raises UsageError where nobody can answer and CommandError for a no."""
    if as_json or not sys.stdin.isatty():
        raise UsageError(
            "what is on its way and the whole history of its deliveries would be lost, and nobody can be asked here: "
            "confirm it with --yes"
        )
    screen.line(
        "Remove ",
        screen.foreign(endpoint.url),
        f", {_counted(endpoint.pending)} that wait and the whole history of its deliveries? Type yes: ",
        error=True,
    )
    if sys.stdin.readline().strip().lower() != "yes":
        raise CommandError("nothing was removed")


def _show_secret(made: "Secret", what: str, *, given: bool, as_json: bool) -> None:
    if as_json:
        screen.document({**made.endpoint.document, "secret": made.secret})
        return
    screen.line("Endpoint ", screen.foreign(made.endpoint.id), f" {what}.", error=True)
    if not given:
        screen.line(
            "# Its secret: this is the only time that it is shown. Your application verifies with it.", error=True
        )
        screen.line(screen.foreign(made.secret))


def _show(endpoint: "Endpoint", advice: str, *, as_json: bool) -> None:
    if as_json:
        screen.document(dict(endpoint.document))
        return
    screen.line("Endpoint ", screen.foreign(endpoint.id), " is ", _status(endpoint), ".")
    if advice:
        screen.line("  ", advice)


def _row(endpoint: "Endpoint", shown: int | None) -> "Row":
    from receiver.cli.table import Row

    where = screen.foreign(endpoint.url)
    told = list(endpoint.types or ())
    notes = [*([", ".join(told)] if told else []), *(["of the settings"] if endpoint.configured else [])]
    if notes:
        where.append_text(screen.foreign(f"  ({'; '.join(notes)})", "dim"))
    return Row(
        (
            screen.foreign(endpoint.id[:shown]),
            _status(endpoint),
            screen.ours(_counted(endpoint.pending)),
            screen.ours(_counted(endpoint.dead), "red" if endpoint.dead else ""),
        ),
        where,
    )


def _counted(deliveries: int) -> str:
    """Return how many there are; the service counts no further than some."""
    return f"{deliveries} or more" if deliveries >= _MOST_COUNTED else str(deliveries)


def _status(endpoint: "Endpoint") -> "Text":
    status = screen.foreign(endpoint.status, _STYLES.get(endpoint.status, ""))
    if endpoint.reason is not None:
        status.append_text(screen.foreign(f" ({endpoint.reason.replace('_', ' ')})", "dim"))
    return status

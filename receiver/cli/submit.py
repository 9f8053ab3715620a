"""`receiver submit`: ask for a generation, and follow it to its audio on this disk."""

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from receiver.cli import options, screen
from receiver.cli.failures import UsageError
from receiver.cli.running import run

_REQUEST = "The request"
#: What is meant as a file may be a whole recording that lost its beginning.
_SHOWN = 100
_BASE64 = re.compile(r"[A-Za-z0-9+/_=\s-]+")
_EXAMPLE = "such as settings.x=1 or 'a.b=\"text\"'"
_OPTION_FORM = f"KEY=JSON, {_EXAMPLE}"
_LINKS = ("http://", "https://", "data:", "input:")


def submit(  # noqa: PLR0917 - typer fills them by name, from the options of the same names
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="runware or aimlapi.", show_default=False)],
    prompt: Annotated[
        str,
        typer.Option(
            "--prompt", metavar="TEXT", help="The style wanted.", rich_help_panel=_REQUEST, show_default=False
        ),
    ],
    audio: Annotated[
        str,
        typer.Option(
            "--audio",
            metavar="FILE|URL",
            help="Reference audio: a file on this disk, a URL, input:<id>, or an id that the provider knows.",
            rich_help_panel=_REQUEST,
            show_default=False,
        ),
    ],
    lyrics: Annotated[
        str | None, typer.Option("--lyrics", metavar="TEXT", help="Words to sing.", rich_help_panel=_REQUEST)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="MODEL", help="Another model than the default.", rich_help_panel=_REQUEST),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option("--count", metavar="NUMBER", help="How many results (runware).", rich_help_panel=_REQUEST),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="NUMBER", help="For a repeatable result (runware).", rich_help_panel=_REQUEST),
    ] = None,
    output_format: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="FORMAT", help="mp3, wav, flac (runware), pcm (aimlapi).", rich_help_panel=_REQUEST
        ),
    ] = None,
    output_type: Annotated[
        str | None,
        typer.Option(
            "--output-type", metavar="TYPE", help="URL, base64Data or dataURI (runware).", rich_help_panel=_REQUEST
        ),
    ] = None,
    sample_rate: Annotated[
        int | None,
        typer.Option("--sample-rate", metavar="HERTZ", help="In hertz (aimlapi).", rich_help_panel=_REQUEST),
    ] = None,
    bitrate: Annotated[
        int | None,
        typer.Option("--bitrate", metavar="RATE", help="In bits per second (aimlapi).", rich_help_panel=_REQUEST),
    ] = None,
    ttl: Annotated[
        int | None,
        typer.Option(
            "--ttl",
            metavar="SECONDS",
            help="Seconds that the provider's link lives (runware).",
            rich_help_panel=_REQUEST,
        ),
    ] = None,
    include_cost: Annotated[
        bool | None,
        typer.Option(
            "--include-cost/--no-include-cost", help="Ask for the cost (runware).", rich_help_panel=_REQUEST
        ),
    ] = None,
    upload_endpoint: Annotated[
        str | None,
        typer.Option(
            "--upload-endpoint",
            metavar="URL",
            help="URL that the provider uploads to (runware).",
            rich_help_panel=_REQUEST,
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="KEY=JSON",
            help="A field that only this provider has, such as settings.x=1 or 'a.b=\"text\"'; repeatable.",
            rich_help_panel=_REQUEST,
        ),
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            "--metadata", metavar="NAME=VALUE", help="A note of yours; repeatable.", rich_help_panel=_REQUEST
        ),
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option(
            "--deadline", metavar="SECONDS", help="Seconds after which it is overdue.", rich_help_panel=_REQUEST
        ),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            "--idempotency-key",
            metavar="KEY",
            help="The same key gives the same task, however often.",
            rich_help_panel=_REQUEST,
        ),
    ] = None,
    *,
    wait: options.Wait = False,
    timeout: options.Timeout = None,
    out: options.Out = None,
    as_json: options.Json = False,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    folder: options.KeyFolder = options.DEFAULT_FOLDER,
) -> None:
    """Ask for a generation."""
    file = _own_file(audio)
    given: dict[str, object | None] = {
        "provider": provider,
        "prompt": prompt,
        "reference_audio": _reference(audio) if file is None else None,
        "lyrics": lyrics,
        "model": model,
        "count": count,
        "seed": seed,
        "output_format": output_format,
        "output_type": output_type,
        "sample_rate": sample_rate,
        "bitrate": bitrate,
        "ttl_seconds": ttl,
        "include_cost": include_cost,
        "upload_endpoint": upload_endpoint,
        "provider_options": _provider_options(option) or None,
        "metadata": options.pairs(metadata, "--metadata") or None,
        "deadline_seconds": deadline,
    }
    request = {name: value for name, value in given.items() if value is not None}
    from receiver.cli.following import pursuit
    from receiver.cli.service import service
    from receiver.cli.submitting import Plan, show, submitted

    plan = Plan(pursuit(service(url, api_key, folder), timeout, out, wait=wait), request, idempotency_key, file)
    outcome = run(lambda: submitted(plan))
    if as_json:
        screen.document(outcome.task.document)
    else:
        show(outcome, waited=plan.pursuit.wait)
    if outcome.failure is not None:
        raise outcome.failure


def _reference(text: str) -> str:
    """Return a reference audio that is no file; raises UsageError for what can only be meant as one."""
    if text.startswith(_LINKS):
        return text
    if not _BASE64.fullmatch(text):
        raise UsageError(
            f"--audio: no such file: {_beginning(text)}; nor is it a URL, a data URI or base64",
            "give a file on this disk, or a link that the provider can fetch",
        )
    return text


def _beginning(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _own_file(text: str) -> tuple[Path, int] | None:
    """Return path and size of what is there by that name on this disk, judged; None for what is no path."""
    if text.startswith(_LINKS):
        return None
    try:
        path = Path(text)
        if not path.exists():
            return None
    except (OSError, ValueError):  # a base64 text is too long for a name
        return None
    from receiver.cli.uploading import check_file

    return path, check_file(path)


def _provider_options(texts: list[str] | None) -> dict[str, object]:
    """Read ``a.b=JSON`` texts into nested objects."""
    whole: dict[str, object] = {}
    for dotted, text in options.pairs(texts, "--option", _OPTION_FORM).items():
        *path, last = dotted.split(".")
        place = whole
        for name in path:
            inner = place.setdefault(name, {})
            if not isinstance(inner, dict):
                raise typer.BadParameter(f"{dotted!r} lies inside of a value", param_hint="--option")
            place = inner
        if last in place:
            raise typer.BadParameter(f"{dotted!r} is given twice", param_hint="--option")
        place[last] = _value(dotted, text)
    return whole


def _value(name: str, text: str) -> object:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        raise typer.BadParameter(f"the value of {name!r} is not JSON, {_EXAMPLE}", param_hint="--option") from None
    return value

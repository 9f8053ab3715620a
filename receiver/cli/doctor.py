"""`receiver doctor`: is this installation fit? One line for each thing looked at, with what mends it."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from receiver.cli import options, screen
from receiver.cli.failures import CommandError
from receiver.cli.running import run

if TYPE_CHECKING:
    from receiver.doctor import Finding
    from receiver.settings import Loaded

_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}
_WORDS = {"ok": "ok", "warning": "warn", "failed": "FAIL", "skipped": "skip"}
_INDENT = 21
_LEAST_ROOM = 20


def doctor(
    *,
    url: Annotated[
        str,
        typer.Option(
            "--url", metavar="URL", envvar="RECEIVER_URL", help="Where the service listens on this machine."
        ),
    ] = options.DEFAULT_URL,
    folder: options.DataFolder = None,
    as_json: options.Json = False,
) -> None:
    """Look whether this installation is fit.

    It reads the settings as they are for this command, not those of a service that runs: give both the same.
    """
    from receiver.cli.local import loaded_settings
    from receiver.doctor.finding import failed

    try:
        loaded = loaded_settings(folder)
    except CommandError as error:
        mend = "correct it where it is set: the environment, .env or the secrets folder"
        finding = failed("settings", "; ".join(error.advice) or error.message, mend)
        findings = [finding]
        if not as_json:
            _show(finding)
    else:
        findings = run(lambda: _examined(loaded, url, shown=not as_json))
    counts = {level: sum(finding.level == level for finding in findings) for level in _WORDS}
    fit = not counts["failed"]
    if as_json:
        screen.document({"fit": fit, "checks": [asdict(finding) for finding in findings]})
    else:
        warned = f", {counts['warning']} to look at" if counts["warning"] else ""
        screen.line("")
        screen.line(screen.ours(f"fit{warned}" if fit else f"not fit: {counts['failed']} failed{warned}", "bold"))
    if not fit:
        raise typer.Exit(1)


async def _examined(loaded: "Loaded", url: str, *, shown: bool) -> "list[Finding]":
    from receiver.doctor import examine
    from receiver.system import RealSystem

    findings = []
    async for finding in examine(loaded, url, RealSystem()):
        findings.append(finding)
        if shown:
            _show(finding)
    return findings


def _show(finding: "Finding") -> None:
    """Show one line, and below it what mends."""
    level = finding.level.value
    head = screen.ours(f"{_WORDS[level]:<6}", _STYLES[level]).append_text(screen.foreign(f"{finding.name:<15}"))
    for text in _broken(finding.message):
        screen.line(head, screen.foreign(text))
        head = screen.ours(" " * _INDENT)
    if finding.mend is not None and level != "ok":
        for text in _broken(f"→ {finding.mend}"):
            screen.line(head, screen.foreign(text, "dim"))


def _broken(text: str) -> list[str]:
    """Return a text as a terminal has room for it beside its name; what is copied, such as a path, stays whole."""
    import textwrap

    width = screen.width()
    if width is None:
        return [text]
    room = max(width - _INDENT, _LEAST_ROOM)
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]

"""All commands together, and the one place where every failure ends: a line or two, an exit code, no traceback."""

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Annotated, TextIO

import typer
import typer.core
import typer.main

from receiver.cli import (
    adopt,
    completion,
    deliveries,
    doctor,
    drill,
    endpoints,
    erase,
    keys,
    migrate,
    operate,
    replay,
    sandbox,
    screen,
    serve,
    settings,
    stats,
    submit,
    task,
    tasks,
    watch,
)
from receiver.cli import demo as demonstration
from receiver.cli.failures import CommandError, InterruptedByPersonError, UsageError

_ABOUT = "Turns asynchronous music generations into tasks that settle exactly once and audio that stays."
_EXITS = "Exit codes: 0 done, 1 failed, 2 not understood."
_PACKAGE = Path(__file__).parent.parent
_START, _WORK, _CARE = "Start", "Work", "Care"


def application(*, pretty: bool) -> typer.Typer:
    """Return the command line; ``pretty`` help is for a terminal, the other for pipes and files."""
    app = typer.Typer(
        name="receiver",
        help=_ABOUT,
        epilog=_EXITS,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich" if pretty else None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_top)
    app.command("demo", rich_help_panel=_START)(demonstration.demo)
    app.command("serve", rich_help_panel=_START)(serve.serve)
    app.command("sandbox", rich_help_panel=_START, help=sandbox.ABOUT)(sandbox.command())
    app.command("submit", rich_help_panel=_WORK)(submit.submit)
    app.command("tasks", rich_help_panel=_WORK)(tasks.tasks)
    app.command("task", rich_help_panel=_WORK)(task.task)
    app.command("watch", rich_help_panel=_WORK)(watch.watch)
    app.command("cancel", rich_help_panel=_WORK)(operate.cancel)
    app.command("refresh", rich_help_panel=_WORK)(operate.refresh)
    app.command("adopt", rich_help_panel=_WORK)(adopt.adopt)
    app.command("replay", rich_help_panel=_WORK)(replay.replay)
    app.command("erase", rich_help_panel=_WORK)(erase.erase)
    app.command("stats", rich_help_panel=_WORK)(stats.stats)
    app.command("deliveries", rich_help_panel=_WORK)(deliveries.deliveries)
    app.command("redrive", rich_help_panel=_WORK)(deliveries.redrive)
    app.add_typer(endpoints.family(pretty=pretty), rich_help_panel=_WORK)
    app.command("doctor", rich_help_panel=_CARE)(doctor.doctor)
    app.command("drill", rich_help_panel=_CARE)(drill.drill)
    app.command("settings", rich_help_panel=_CARE)(settings.settings)
    app.command("migrate", rich_help_panel=_CARE)(migrate.migrate)
    app.command("completion", rich_help_panel=_CARE)(completion.completion)
    app.add_typer(keys.family(pretty=pretty), rich_help_panel=_CARE)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; whatever goes wrong is said on standard error."""
    _never_fail_to_print()
    screen.Told.json = False
    failed = partial(_told, as_json="--json" in arguments)
    if list(arguments[:1]) == ["--json"]:
        meant = " ".join(arguments[1:]) or "tasks"
        return failed(UsageError(f"put --json after the command: receiver {meant} --json"))
    try:
        outcome = _command(pretty=sys.stdout.isatty()).main(
            args=list(arguments), prog_name="receiver", standalone_mode=False
        )
    except Exception as error:  # noqa: BLE001 - the last resort: one line instead of a traceback
        return failed(error)
    except BaseExceptionGroup as group:  # a group may hold an interruption, and is then no Exception
        return failed(group)
    except SystemExit as ended:
        # What typer makes of a reader that went away while it printed.
        if isinstance(ended.__context__, BrokenPipeError):
            return _unread()
        raise
    if outcome == _TYPERS_INTERRUPTED:
        return failed(InterruptedByPersonError())
    return outcome if isinstance(outcome, int) else 0


@cache
def _command(*, pretty: bool) -> typer.core.TyperGroup:
    command = typer.main.get_command(application(pretty=pretty))
    if not isinstance(command, typer.core.TyperGroup):
        raise TypeError("several commands make a group")
    _show_arguments_plainly(command)
    return command


def _show_arguments_plainly(group: typer.core.TyperGroup) -> None:
    for each in group.commands.values():
        if isinstance(each, typer.core.TyperGroup):
            _show_arguments_plainly(each)
        for parameter in each.params:
            if isinstance(parameter, typer.core.TyperArgument):
                parameter.__class__ = _PlainArgument


class _PlainArgument(typer.core.TyperArgument):
    """An argument that help shows as it is typed: ``ID``, and not ``{ID}`` or ``ID <str>``."""

    def get_usage_pieces(self, ctx: object) -> list[str]:
        del ctx
        return [self.display_name_raw]

    def display_type_rich(self, ctx: object) -> str:
        del ctx
        return ""


#: 128 and the number of SIGPIPE, as shells count it.
_READER_GONE = 141
#: What typer makes of a Ctrl-C that reached no loop of ours.
_TYPERS_INTERRUPTED = 130


def _top(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"receiver {version_of('receiver')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def _told(error: BaseException, *, as_json: bool) -> int:
    """Say what went wrong and return the exit code."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    match error:
        case BrokenPipeError():
            return _unread()
        case CommandError():
            failure = error
        case InterruptedByPersonError() | KeyboardInterrupt():
            failure = CommandError("interrupted")
        case typer.TyperException():
            failure = UsageError(error.format_message(), *_help_on(error))
            failure.exit_code = error.exit_code
        case _:
            failure = CommandError(f"something unexpected went wrong: {type(error).__name__} {_place(error)}")
    _say(failure.message, *failure.advice)
    if as_json and not screen.Told.json:
        _say_to_programs(failure)
    return failure.exit_code


def _say_to_programs(failure: CommandError) -> None:
    """Put on standard output what went wrong, where there would be nothing else to read."""
    told = {"message": failure.message, "advice": list(failure.advice), "problem": failure.problem}
    with contextlib.suppress(BrokenPipeError):
        screen.json_line({"error": {**told, "exit_code": failure.exit_code}})


def _unread() -> int:
    """End as a command does whose reader, such as `head`, has seen enough: without a word."""
    # What is still in the buffer would be written at the very end, and complained about.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return _READER_GONE


def _say(message: str, *advice: str) -> None:
    first, *rest = message.splitlines() or [""]
    screen.line(screen.ours("receiver: ", "bold red"), screen.foreign(first), error=True)
    for text in (*rest, *advice):
        screen.line("  ", screen.foreign(text), error=True)


def _help_on(error: typer.TyperException) -> list[str]:
    """Return what commands there are, where one was meant, and how to see the options."""
    context = getattr(error, "ctx", None)
    command, path = getattr(context, "command", None), getattr(context, "command_path", None)
    advice = [f"there are: {', '.join(command.commands)}"] if isinstance(command, typer.core.TyperGroup) else []
    return [*advice, f"see `{path} --help`"] if path else advice


def _place(error: BaseException) -> str:
    """Return where of ours an error that nobody expected came from; its text may hold secrets and is left out."""
    places = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    known = [
        f"{path.relative_to(_PACKAGE.parent)} line {number}"
        for path, number in places
        if path.is_relative_to(_PACKAGE)
    ]
    return f"at {known[-1]}" if known else ""


def _never_fail_to_print() -> None:
    """Show what an old terminal cannot encode as an escape instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        _lenient(stream)


def _lenient(stream: TextIO) -> None:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")

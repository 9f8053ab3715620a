"""Live progress of tasks: a table that renews itself on a terminal, a line for each change anywhere else."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.text import Text

from receiver.cli import screen
from receiver.cli.awaited import line_of
from receiver.cli.screen import foreign, ours
from receiver.cli.table import Column, Row, table
from receiver.cli.words import span
from receiver.sdk import Task, Waiting
from receiver.system import RealSystem

_REFRESHES_PER_SECOND = 8
_TRIED_AGAIN = frozenset({"provider", "retry", "lookup"})
_WORTH_SAYING = timedelta(seconds=10)
_COLUMNS = (
    Column("task"),
    Column("provider"),
    Column("status"),
    Column("stored", numbers=True),
    Column("time", numbers=True),
)


@dataclass(slots=True)
class _Seen:
    task: Task
    since: float
    ended_after: float | None = None
    waits: dict[tuple[str, str], datetime | None] = field(default_factory=dict)


class Progress:
    """Shows tasks while they are followed, on standard error or output; plain where nobody watches live."""

    def __init__(self, system: RealSystem, *, error: bool, live: bool = True, waits: bool = True) -> None:
        """``live`` asks for the table; a pipe gets lines all the same. ``waits``: say what is waited for too."""
        self._system = system
        self._error = error
        self._waits = waits
        self._seen: dict[str, _Seen] = {}
        self._trouble = ""
        self._live: Live | None = None
        console = screen.console(error=error)
        if live and console.is_terminal and not console.is_dumb_terminal:
            self._live = Live(
                console=console,
                get_renderable=self._table,
                refresh_per_second=_REFRESHES_PER_SECOND,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def see(self, task: Task) -> None:
        """Take in what is known of a task now."""
        self._trouble = ""
        known = self._seen.get(task.id)
        if known is None:
            known = self._seen[task.id] = _Seen(task, self._system.monotonic())
            changed = True
        else:
            changed = _state(known.task) != _state(task)
            known.task = task
        if task.ended and known.ended_after is None:
            known.ended_after = self._system.monotonic() - known.since
        if changed and self._live is None:
            self._print(known)
        if self._waits and self._live is None:
            self._print_waiting(known)

    def latest(self, task: Task) -> Task:
        """Return what is known of a task now."""
        return self._seen[task.id].task if task.id in self._seen else task

    def trouble(self, message: str) -> None:
        """Say that nothing can be known at the moment; once, until something is known again."""
        if message != self._trouble and self._live is None:
            screen.line(ours(message, "yellow"), error=self._error)
        self._trouble = message

    def _seconds(self, known: _Seen) -> float:
        if known.ended_after is not None:
            return known.ended_after
        return self._system.monotonic() - known.since

    def _print(self, known: _Seen) -> None:
        task = known.task
        screen.line(
            f"{span(self._seconds(known)):>8}  ",
            foreign(task.id),
            "  ",
            foreign(task.provider),
            "  ",
            _status(task),
            "  ",
            f"{_stored(task)} stored",
            error=self._error,
        )

    def _print_waiting(self, known: _Seen) -> None:
        """Say what is waited for: once, and again where a next try that takes its time is planned."""
        now, waiting = self._system.now(), known.task.waiting
        text = line_of(known.task, now)
        if text is None or waiting is None:
            return
        # A reason in brackets may be another one each time.
        same = (waiting.what, waiting.message.partition(" (")[0])
        if same in known.waits:
            planned = waiting.what in _TRIED_AGAIN and waiting.until not in {None, known.waits[same]}
            if not planned or waiting.until is None or waiting.until - now < _WORTH_SAYING:
                return
        known.waits[same] = waiting.until
        name = foreign(f"{known.task.id}  ") if len(self._seen) > 1 else ours("")
        screen.line(" " * 10, name, foreign(text, _style(waiting)), error=self._error)

    def _waiting(self, task: Task) -> Text | None:
        text = line_of(task, self._system.now()) if self._waits else None
        return None if text is None or task.waiting is None else foreign(text, _style(task.waiting))

    def _table(self) -> Group:
        rows = [
            Row(
                (
                    foreign(known.task.id),
                    foreign(known.task.provider),
                    _status(known.task),
                    ours(_stored(known.task)),
                    ours(span(self._seconds(known))),
                ),
                self._waiting(known.task),
                cut=True,
            )
            for known in list(self._seen.values())  # another thread draws while we learn of tasks
        ]
        width = screen.width(error=self._error)
        lines: list[Text] = table(_COLUMNS, rows, long_title="", width=width) if rows else []
        if self._trouble:
            lines.append(ours(self._trouble, "yellow"))
        # A live table is redrawn in place, so that no line may wrap.
        for text in lines:
            text.truncate(width or text.cell_len, overflow="ellipsis")
        return Group(*lines)


def _state(task: Task) -> tuple[str, int, bool]:
    return task.status, task.stored, task.overdue


def _stored(task: Task) -> str:
    return f"{task.stored}/{task.expected}"


def _style(waiting: Waiting) -> str:
    """Return a colour for what may need somebody."""
    return "yellow" if waiting.what in {"key", "provider", "retry"} else "dim"


def _status(task: Task) -> Text:
    status = foreign(task.status, screen.status_style(task.status))
    if task.overdue and not task.ended:
        status.append(", overdue", "yellow")
    return status

"""What `receiver drill` shows: what it is about to do, how far it is, and the balance."""

import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.live import Live
from rich.text import Text

from receiver.cli import screen
from receiver.cli.screen import foreign, ours
from receiver.cli.words import span
from receiver.drill.account import Account, callbacks
from receiver.drill.balance import ENDED
from receiver.drill.ground import Ground
from receiver.drill.play import Plan, Progress

_LABEL = 12
_WIDE_LABEL = 34
_LONGER_LABEL = 28
_LEAST_ROOM = 20
#: How often a pipe is told.
_LINES_SECONDS = 10.0
_MOST_NAMED = 5


class Screen:
    """Shows one drill, on standard output; on standard error where that is for a JSON document."""

    def __init__(self, laid: Ground, *, as_json: bool) -> None:
        """Keep where it takes place."""
        self._laid = laid
        self._as_json = as_json
        self._told = 0.0
        console = screen.console(error=as_json)
        self._live: Live | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            self._live = Live(console=console, transient=True, redirect_stdout=False, redirect_stderr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def opening(self, plan: Plan) -> None:
        """Say what is about to happen, and that it concerns nothing of the user's."""
        self._say("A drill beside your data: no task, key or provider of yours is touched.")
        self._fact("folder", str(self._laid.folder))
        self._fact("database", self._laid.database)
        self._fact("audio", self._laid.audio)
        self._fact("plan", _planned(plan))
        self._fact("seed", str(plan.seed))
        self._say("")
        if self._live is not None:
            self._live.start()

    def progress(self, progress: Progress) -> None:
        """Renew the line of progress; on a pipe add one now and then."""
        text = ours(f"{span(progress.seconds):>10}  ", "bold").append(_done(progress))
        if self._live is not None:
            text.truncate(screen.width(error=self._as_json) or text.cell_len, overflow="ellipsis")
            self._live.update(text)
        elif time.monotonic() - self._told > _LINES_SECONDS:  # noqa: TID251 - how often we speak is our own affair
            self._told = time.monotonic()  # noqa: TID251 - the same
            self._say(text)

    def result(self, account: Account, plan: Plan, *, kept: bool) -> None:
        """Show the balance, or print it as a document."""
        self._balance(account)
        self._say("")
        if account.exact:
            self._say(ours("The balance is exact: nothing is lost, nothing is paid twice.", "bold green"))
        else:
            self._say(ours("THE BALANCE IS OFF.", "bold red"))
            self._wrong(account, plan)
        if kept:
            self._keep(account)
        if self._as_json:
            screen.document(_document(account, plan, str(self._laid.folder) if kept else None))

    def _keep(self, account: Account) -> None:
        """Say where the evidence is, and put the whole account beside it."""
        with suppress(OSError):
            (self._laid.logs / "account.txt").write_text("\n".join(account.lines()) + "\n", "utf-8")
        self._say(foreign(f"The drill's folder is kept: {self._laid.folder}"))
        if self._laid.beside is not None:
            self._say(foreign(f"and its database, until you drop it: {self._laid.name}"))

    def _balance(self, account: Account) -> None:
        balance = account.balance
        self._say(
            f"{span(account.seconds)}; every task had ended {span(account.seconds_to_end)} after the last harm."
            if not account.unended
            else f"{span(account.seconds)}; {account.unended} tasks had not ended by then."
        )
        self._say("")
        self._say(ours("The balance", "bold"))
        self._row("tasks in the providers' ledger", str(balance.ledger_tasks))
        for state in (*ENDED, "open"):
            count = account.open if state == "open" else balance.matched.get(state, 0)
            self._row(f"  {'=' if state == ENDED[0] else '+'} {state}", str(count))
        self._row("ours that never reached them", account.beside())
        self._row("acknowledged to callers (202)", str(account.acknowledged))
        self._say("")
        self._say(ours("Must be none", "bold"))
        for _, words, count in account.must_be_none():
            self._row(words, ours(str(count), "bold red" if count else "green"))
        self._say("")
        self._say(ours("What happened", "bold"))
        for name, value in account.figures():
            self._told_of(name, value)
        for note in account.notes:
            name, _, value = note.splitlines()[0].partition(": ")
            self._told_of(name, value)

    def _wrong(self, account: Account, plan: Plan) -> None:
        if account.seconds_to_end > account.most_seconds_to_end:
            late = f"the last task ended {span(account.seconds_to_end)} after the last harm"
            self._say(f"  {late}; it may take {span(account.most_seconds_to_end)}")
        for name, found in account.wrong().items():
            for line in found[:_MOST_NAMED]:
                self._say(ours(f"  {name}: ").append_text(foreign(line)))
            if len(found) > _MOST_NAMED:
                self._say(f"  and {len(found) - _MOST_NAMED} more of these")
        self._say(f"To try the same again: --seed {plan.seed}")

    def _fact(self, label: str, value: str) -> None:
        self._labelled(f"{label:<{_LABEL}}", foreign(value))

    def _told_of(self, label: str, value: str) -> None:
        self._labelled(f"{label:<{_LONGER_LABEL}}", foreign(value))

    def _row(self, label: str, value: str | Text) -> None:
        self._labelled(f"{label:<{_WIDE_LABEL}}", value if isinstance(value, Text) else foreign(value))

    def _labelled(self, label: str, value: Text) -> None:
        """Show a label and, beside it, a value that goes on below itself where the terminal ends."""
        head = ours(f"  {label}", "dim")
        width = screen.width(error=self._as_json)
        if width is None:
            self._say(head.append_text(value))
            return
        room = max(width - len(label) - 2, _LEAST_ROOM)
        for part in value.wrap(screen.console(error=self._as_json), room, overflow="fold"):
            part.rstrip()
            self._say(head.append_text(part))
            head = ours(" " * (len(label) + 2))

    def _say(self, text: Text | str) -> None:
        screen.line(text, error=self._as_json)


def _planned(plan: Plan) -> str:
    lasts = [f"{plan.seconds / 60:g} min"] if plan.seconds else []
    lasts += [f"until {plan.callbacks} callbacks are due"] if plan.callbacks else []
    kills = "every few seconds" if plan.kills is None else f"{plan.kills} times"
    load = "load and faults" + (f", {' and '.join(lasts)}" if lasts else "")
    away = f"; the audio's folder away {plan.store_outages} × {plan.outage_seconds:g} s" if plan.store_outages else ""
    return load + (f"; kill -9 {kills}" if plan.kills != 0 else "; no kills") + away


def _done(progress: Progress) -> str:
    if progress.open is not None:
        return f"the load is over, {progress.open} of {progress.acknowledged} tasks are still under way"
    return f"{progress.acknowledged} tasks acknowledged, {progress.kills} kills, {progress.loiterers} hang about"


def _document(account: Account, plan: Plan, folder: str | None) -> dict[str, object]:
    return {
        "exact": account.exact,
        "seed": plan.seed,
        "seconds": round(account.seconds, 3),
        "seconds_to_end": round(account.seconds_to_end, 3),
        "ledger_tasks": account.balance.ledger_tasks,
        "matched": dict(account.balance.matched),
        "ours": dict(account.balance.statuses),
        "acknowledged": account.acknowledged,
        "must_be_none": {name: count for name, _, count in account.must_be_none()},
        "wrong": {name: list(found) for name, found in account.wrong().items()},
        "callbacks": dict(callbacks(account.books)),
        "refused": dict(account.refused),
        "audio_read_back": len(account.books.audio),
        "notes": list(account.notes),
        "folder": folder,
    }

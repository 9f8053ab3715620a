"""What a task under way waits for, in the words of a person."""

from datetime import datetime

from receiver.cli.words import span
from receiver.sdk import Task, Waiting

#: Up to here seconds alone are easy to read.
_IN_SECONDS = 120


def awaited(waiting: Waiting, now: datetime) -> str:
    """Return what is waited for, to stand behind the word "waiting"."""
    when = _when(waiting, now)
    if waiting.what == "callback":
        return "for the callback" + (f"; our own look {when}" if when else "")
    if waiting.what == "poll":
        return f"{waiting.message} {when}".rstrip()
    step = "next search" if waiting.what == "lookup" else "next try"
    return f"{waiting.message.rstrip('.')}, {step} {when}" if when else waiting.message


def line_of(task: Task, now: datetime) -> str | None:
    """Return the line that says it, or None where there is nothing to wait for or its status says it already."""
    waiting = task.waiting
    if waiting is None or task.ended or (waiting.what == "audio" and waiting.until is None):
        return None
    return f"waiting{' ' if waiting.what == 'callback' else ': '}{awaited(waiting, now)}"


def _when(waiting: Waiting, now: datetime) -> str:
    if waiting.until is None:
        return ""
    seconds = (waiting.until - now).total_seconds()
    if seconds < 1:
        return "now"
    return f"in {seconds:.0f} s" if seconds < _IN_SECONDS else f"in {span(seconds)}"

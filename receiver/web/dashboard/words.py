"""Times, amounts and names in the words of a person; every figure has a form, however large or small."""

import math
from datetime import UTC, datetime

from receiver.domain.billing import dollars
from receiver.domain.task import Task

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_KILO = 1000
#: What stands where something is not known.
NOT_KNOWN = "–"


def span(seconds: float | None) -> str:
    """Return a time span to be compared with others: ``4 ms``, ``1.4 s``, ``3 min 04 s``, ``2 h 05 min``."""
    if seconds is None or not math.isfinite(seconds):
        return NOT_KNOWN
    return f"-{_span(-seconds)}" if seconds < 0 else _span(seconds)


def _span(seconds: float) -> str:
    # Rounded first, so that 59.96 becomes a minute and not "60.0 s".
    if round(seconds, 3) < 0.1:  # noqa: PLR2004 - below a tenth of a second people count milliseconds
        return f"{round(seconds * _KILO)} ms"
    if round(seconds, 1) < _MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR:02d} h"


def short(seconds: float) -> str:
    """Return a time span in its one largest unit: ``3 s``, ``12 min``, ``5 h``, ``2 d``."""
    seconds = max(seconds, 0.0)
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def ago(time: datetime | None, now: datetime) -> str:
    """Return how long ago a moment is, or how far ahead."""
    if time is None:
        return NOT_KNOWN
    seconds = (now - time).total_seconds()
    if seconds < -1:
        return f"in {short(-seconds)}"
    return "just now" if seconds < 1 else f"{short(seconds)} ago"


def moment(time: datetime | None) -> str:
    """Return a point in time to the second; in UTC, as the server knows no zone of the reader's."""
    return NOT_KNOWN if time is None else time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def exact(time: datetime) -> str:
    """Return a point in time for machines, to the microsecond."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def clock(time: datetime) -> str:
    """Return the time of day to the millisecond, UTC."""
    told = time.astimezone(UTC)
    return f"{told:%H:%M:%S}.{told.microsecond // 1000:03d}"


def money(micros: int | None) -> str:
    """Return micro-dollars as dollars with cents, and with what is smaller than a cent where there is some."""
    return NOT_KNOWN if micros is None else dollars(micros)


def amount(size: int | None) -> str:
    """Return a number of bytes: ``812 B``, ``197 kB``, ``3.4 MB``."""
    if size is None:
        return NOT_KNOWN
    if size < _KILO:
        return f"{size} B"
    if size < _KILO * _KILO:
        return f"{size / _KILO:.0f} kB"
    return f"{size / _KILO / _KILO:.1f} MB"


def share(part: float | None) -> str:
    """Return a share as percents; what is not nothing is never shown as nothing."""
    if part is None:
        return NOT_KNOWN
    percents = part * 100
    if 0 < percents < 0.1:  # noqa: PLR2004 - less than the smallest that one digit shows
        return "< 0.1 %"
    return f"{percents:.1f}".removesuffix(".0") + " %"


def number(value: float, most: float = math.inf) -> str:
    """Return a number with its thousands apart; what is counted up to ``most`` alone may be more than that."""
    shown = f"{value:,}".replace(",", "\u202f")  # a narrow space that does not break
    return shown if value < most else f"{shown} or more"


def named(task: Task) -> str:
    """Return what a task is called: a stranger's words where they are known."""
    if task.request.prompt:
        return task.request.prompt
    return "An erased task" if task.erased_at is not None else "An adopted generation"


def cut(text: str, most: int) -> str:
    """Return a text of at most so many characters, wherever its words end: a stranger's may have but one."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def counted(value: int, one: str, many: str | None = None, most: float = math.inf) -> str:
    """Return a number with its noun, as ``number`` does."""
    return f"{number(value, most)} {one if value == 1 else many or one + 's'}"

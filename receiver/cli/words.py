"""Amounts and times in the words of a person, whatever figure a service names: none is too large to be said."""

from datetime import datetime

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_KILO = 1000
#: Nobody measured seconds, dollars or bytes beyond this; the arithmetic of floats ends not far from it.
_BEYOND_MEASURE = 10**15
_NOT_KNOWN = "–"


def age(seconds: float) -> str:
    """Return a time span in its one largest unit: ``3 s``, ``12 min``, ``5 h``, ``2 d``."""
    if (odd := _beyond(seconds)) is not None:
        return odd
    seconds = max(seconds, 0.0)
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def span(seconds: float) -> str:
    """Return a time span to be compared with others: ``1.4 s``, ``3 min 04 s``, ``2 h 05 min``, ``1 d 02 h``."""
    if (odd := _beyond(seconds)) is not None:
        return odd
    seconds = max(seconds, 0.0)
    # Rounded first, so that 59.96 becomes a minute and not "60.0 s".
    if round(seconds, 1) < _MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR:02d} h"


def money(dollars: float | None) -> str:
    """Return dollars with cents, and with what is smaller than a cent where there is some."""
    if dollars is None:
        return _NOT_KNOWN
    if not -_BEYOND_MEASURE < dollars < _BEYOND_MEASURE:
        return "$∞" if dollars > 0 else "-$∞" if dollars < 0 else _NOT_KNOWN
    whole, _, rest = f"{dollars:.6f}".partition(".")
    return f"${whole}.{rest[:2]}{rest[2:].rstrip('0')}"


def amount(size: int) -> str:
    """Return a number of bytes: ``812 B``, ``197 kB``, ``3.4 MB``."""
    if size < _KILO:
        return f"{size} B"
    if size < _KILO * _KILO:
        return f"{size / _KILO:.0f} kB"
    if size < _BEYOND_MEASURE:
        return f"{size / _KILO / _KILO:.1f} MB"
    return "∞ MB"


def moment(time: datetime) -> str:
    """Return a point in time in the zone of the person, to the second."""
    try:
        return time.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    except (OverflowError, ValueError):
        # At either end of the calendar our own zone may lie beyond it.
        return time.isoformat(" ", "seconds")


def clock(time: datetime) -> str:
    """Return the time of day in the zone of the person, to the second."""
    try:
        return time.astimezone().strftime("%H:%M:%S")
    except (OverflowError, ValueError):
        return time.strftime("%H:%M:%S")


def _beyond(seconds: float) -> str | None:
    """Return the words for a time span that no clock measured, None for every other."""
    if seconds < _BEYOND_MEASURE:
        return None
    return "∞ d" if seconds > 0 else _NOT_KNOWN  # what compares with nothing is not a number

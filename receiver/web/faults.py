"""How a fault of ours is logged: its kind and where it happened, never what a stranger wrote."""

import logging
import traceback

from receiver.domain.errors import ReceiverError, UnavailableError

_MOST_FRAMES = 20


def log_fault(log: logging.Logger, event: str, error: BaseException, **fields: object) -> None:
    """Log an unexpected error. Only our own errors and the system's are quoted: others may quote a body or a key."""
    quoted = str(error) if isinstance(error, ReceiverError | OSError) else None
    if isinstance(error, UnavailableError):
        # Its reason says all, and it comes with every request while a disk is full.
        log.error(event, extra={"error": type(error).__name__, "reason": quoted, **fields})
        return
    frames = [
        f"{frame.filename}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]
    ]
    cause = error.__cause__ or error.__context__
    names = {"error": type(error).__name__, "cause": type(cause).__name__ if cause else None}
    log.error(event, extra={**names, "reason": quoted, "where": frames, **fields})

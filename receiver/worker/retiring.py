"""Lets go what is kept for long enough, in the background, with a rest after every few rows."""

import asyncio
import contextlib
import logging

from receiver.domain.errors import UnavailableError
from receiver.lifecycle import retire
from receiver.lifecycle.ports import Ports

_log = logging.getLogger("receiver.worker")

#: After what was let go, in seconds: most of the time belongs to others.
BETWEEN = 0.05
#: After there was nothing, in seconds.
EVERY = 60.0


async def retiring(ports: Ports, over: asyncio.Event) -> None:
    """Go on until ``over``; whatever goes wrong is tried again."""
    while not over.is_set():
        rest = EVERY
        try:
            if await retire.retire(ports):
                rest = BETWEEN
        except UnavailableError:
            # The other loops meet it too, and say so.
            pass
        except Exception:  # noqa: BLE001 - a loop outlives whatever goes wrong in it
            _log.exception("step_failed", extra={"step": "retire"})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), rest)

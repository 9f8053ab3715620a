"""Starts the loop that a command's asynchronous part runs on, and makes Ctrl-C and SIGTERM end it in order.

asyncio is imported where a loop is started, so that `receiver --help` does without it.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from receiver.cli.failures import InterruptedByPersonError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterator

_STOP_SECONDS = 12.0
_Result = TypeVar("_Result")


def run(work: Callable[[], Awaitable[_Result]]) -> _Result:
    """Run to the end. Ctrl-C and SIGTERM cancel the work, which may clean up; InterruptedByPersonError follows."""
    import asyncio

    async def supervised() -> _Result:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is not None:
            loop.add_signal_handler(signal.SIGTERM, task.cancel)
        try:
            return await work()
        finally:
            loop.remove_signal_handler(signal.SIGTERM)

    try:
        return asyncio.run(supervised())
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise InterruptedByPersonError from None


def run_server(work: Callable[[], Awaitable[None]]) -> None:
    """Run what ends itself at Ctrl-C and SIGTERM, on the fastest loop there is. To be stopped is how it ends."""
    import asyncio

    async def awaited() -> None:
        await work()

    try:
        with asyncio.Runner(loop_factory=_fastest_loop()) as runner:
            runner.run(awaited())
    except (KeyboardInterrupt, asyncio.CancelledError):
        return


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return None
    return uvloop.new_event_loop


@contextmanager
def ended_with_reader() -> Iterator[None]:
    """Raise BrokenPipeError within the block as soon as whoever reads our output through a pipe is gone.

    A command that waits would else go on until it had the next line to say, which may be never.
    """
    import asyncio

    task, gone = asyncio.current_task(), False
    pipe = _piped_output()
    if pipe is None or task is None:
        yield
        return
    loop = asyncio.get_running_loop()

    def leave() -> None:
        nonlocal gone
        gone = True
        loop.remove_reader(pipe)
        task.cancel()

    # There is nothing to read at this end: it is heard of when the other one is closed.
    loop.add_reader(pipe, leave)
    try:
        yield
    except asyncio.CancelledError:
        if gone:
            raise BrokenPipeError from None
        raise
    finally:
        loop.remove_reader(pipe)


def _piped_output() -> int | None:
    """Return the descriptor of standard output where it is a pipe whose end Linux tells of."""
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError):  # replaced by what is no file
        return None
    return number if sys.platform == "linux" and stat.S_ISFIFO(os.fstat(number).st_mode) else None


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM end work without a loop as Ctrl-C does: by KeyboardInterrupt, so that it may clean up."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def end_with_input() -> None:
    """End this process, as SIGTERM does, when standard input ends: whoever holds its other end is gone then."""
    threading.Thread(target=_watch_input, name="until-input-ends", daemon=True).start()


def _watch_input() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    # Nobody is left to be patient with.
    threading.Event().wait(_STOP_SECONDS)
    os._exit(1)

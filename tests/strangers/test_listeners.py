"""A crowd that listens: everybody is told every event exactly once, over a stop and a start of the service."""

import asyncio
from pathlib import Path

from tests.harness import running
from tests.strangers.listeners import allowed, listening, settings, stopped_and_started, told_of, until

COUNT = 150


def test_no_listener_misses_an_event_or_hears_one_twice_over_a_restart(tmp_path: Path) -> None:
    count = allowed(COUNT)
    assert count >= 50, "this process may not open enough files to say anything"

    async def listened() -> None:
        with running(tmp_path, settings=settings(count)) as stack:
            before = await told_of(stack, 1)
            async with listening(stack, count) as crowd:
                await until(lambda: crowd.listening == count and crowd.all_know(before), 60, "all listen")
                ids = await stopped_and_started(stack, crowd)
            assert len(ids) > len(before)
            assert [listener.told for listener in crowd.listeners] == [ids] * count
            assert min(listener.connections for listener in crowd.listeners) >= 2
            assert "Traceback" not in stack.service.words()

    asyncio.run(listened())

"""Hundreds of slow connections: good callers are answered beside them, and the slow ones are ended by the rules."""

import asyncio
import time
from pathlib import Path

from tests.harness import wait_until
from tests.strangers.house import attacked
from tests.strangers.slow import allowed, bait, good_callers, hanging

#: A head has ten seconds, a body three (in these tests); a machine that is busy may be late.
_HEAD_SECONDS = 10


def test_good_callers_are_answered_beside_hundreds_of_slow_connections(tmp_path: Path) -> None:
    with attacked(tmp_path) as house:
        what, files, before = bait(house), house.open_files(), house.memory()
        connections = allowed(400) // 4 * 4
        assert connections >= 40, "this process may not open enough files to say anything"

        async def attack() -> None:
            async with hanging(what, connections) as crowd:
                began = time.monotonic()
                while house.open_files() < files + connections:
                    assert time.monotonic() - began < 2 * _HEAD_SECONDS, "not all of them were let in"
                    await asyncio.sleep(0.05)
                took = await good_callers(house, callers=4, callbacks=50)
                assert len(took) == 200
                while sum(crowd.ended.values()) < connections * 3 // 4:
                    assert time.monotonic() - began < 6 * _HEAD_SECONDS, crowd
                    await good_callers(house, callers=1, callbacks=5)
                    await asyncio.sleep(0.1)
            each = connections // 4
            assert crowd.ended == {"head": each, "body": each, "silent": each}
            assert crowd.told == {b"HTTP/1.1 408"}

        asyncio.run(attack())
        # An answer that nobody reads is held in pieces of a quarter of a megabyte, with the allocator's slack: far
        # from its eight megabytes for each.
        assert house.memory().peak - before.peak < (connections // 4 * 3 + 48) * 1024 * 1024
        wait_until(lambda: house.open_files() <= files + 5, 20, "every connection is gone")
        house.assert_works()
        house.assert_silent()

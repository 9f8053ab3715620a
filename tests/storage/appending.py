"""A process that appends callbacks and says so after each answer, until it is killed: started by test_durability."""

import asyncio
import os
import sys
from pathlib import Path

from receiver.lifecycle.ports import Appended, BodyLimits
from receiver.storage.store import SqlStore, open_store
from tests.storage.making import new_key, report

CLIENTS = 16


async def client(store: SqlStore) -> None:
    while True:
        new = report(new_key(), os.urandom(512))
        assert await store.append(new, BodyLimits()) is Appended.ACCEPTED
        # One write: a line is whole or not there.
        os.write(1, f"{new.id} {new.sha256.hex()}\n".encode())


async def main() -> None:
    async with open_store(Path(sys.argv[1])) as store, asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(client(store))


asyncio.run(main())

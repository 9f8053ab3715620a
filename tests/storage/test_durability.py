import hashlib
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from receiver.storage.store import open_store
from tests.storage.making import LEASE, NOW

HOUSE = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("acknowledged", [1, 300])
async def test_what_was_acknowledged_before_a_kill_is_there_after_it(database: Path, acknowledged: int) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.storage.appending", str(database)], cwd=HOUSE, stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(acknowledged)]
        child.kill()
        lines += [line for line in child.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")]
    promised = {UUID(name.decode()): bytes.fromhex(digest.decode()) for name, digest in map(bytes.split, lines)}
    assert len(promised) >= acknowledged
    async with open_store(database) as store:
        for report_id, digest in promised.items():
            kept = await store.report(report_id)
            assert kept is not None
            assert hashlib.sha256(kept.body).digest() == digest
        waiting = set()
        while leased := await store.lease_inbox(now=NOW, limit=256, lease=LEASE):
            waiting |= {each.id for each in leased}
        assert promised.keys() <= waiting

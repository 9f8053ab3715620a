"""A report whose reading ends the process is not read for ever."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from receiver.bootstrap import opened
from receiver.domain.report import Reading, Via
from receiver.lifecycle.accept import accept
from receiver.lifecycle.settle import MOST_ATTEMPTS, settle_reports
from receiver.providers import PROVIDERS
from receiver.providers.runware import Runware
from receiver.settings import load

LEASE = timedelta(seconds=60)


class KilledError(BaseException):
    """Stands for the end of the process: nothing catches it."""


class Deadly(Runware):
    """A provider whose reports cannot be read and survived."""

    def read(self, body: bytes, via: Via) -> Reading:
        raise KilledError


@pytest.fixture
def moments() -> Iterator[datetime]:
    """Moments far enough apart that a lease has ended at the next."""
    begin = datetime.now().astimezone()
    return (begin + number * 2 * LEASE for number in range(100))


async def test_a_report_that_ended_two_processes_is_set_aside_unread_by_the_third(
    tmp_path: Path, moments: Iterator[datetime]
) -> None:
    loaded = load(PROVIDERS.values(), environ={"RECEIVER_DATA_DIR": str(tmp_path / "data")}, env_file=None)
    async with opened(loaded) as receiver:
        genuine = receiver.ports.providers["runware"]
        assert isinstance(genuine, Runware)
        deadly = Deadly(**{part.name: getattr(genuine, part.name) for part in fields(genuine)})
        ports = replace(receiver.ports, providers={"runware": deadly})
        key = ports.system.new_key()
        await accept(ports, provider="runware", task_key=key, body=b"{}", headers={})
        for _ in range(MOST_ATTEMPTS - 1):
            [leased] = await ports.store.lease_inbox(now=next(moments), limit=10, lease=LEASE)
            with pytest.raises(KilledError):
                await settle_reports(ports, [leased])
        [leased] = await ports.store.lease_inbox(now=next(moments), limit=10, lease=LEASE)
        await settle_reports(ports, [leased])
        assert await ports.store.lease_inbox(now=next(moments), limit=10, lease=LEASE) == []
    with closing(sqlite3.connect(tmp_path / "data" / "receiver.db")) as connection:
        assert connection.execute("SELECT verdict FROM rulings").fetchall() == [("quarantined",)]

"""The loss proof at full size: real processes under load and faults, then the balance against the sandbox's ledger.

`receiver drill` is a drill of a minute for everybody; this is the long one. Without options every drill of the
database runs at full size; with any of them, only those that are named:

    make drill ARGS="--callbacks 2000"           every fault at once, in every form
    make drill ARGS="--kills 20 --seed 7"        kill -9 at random moments under load
    make drill ARGS="--silent 50"                every callback dropped, settings as shipped
    make drill ARGS="--bucket-away 60"           the bucket of the audio away for so many seconds, under load
    make drill ARGS="--database postgresql"      kills of any of several processes, and restarts of the database
    make drill ARGS="--database postgresql --kills 30 --roles callbacks=2,worker=2,api=1"
    make drill ARGS="--database postgresql --restarts 5"
    make drill ARGS="--database postgresql --callbacks 2000"
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from receiver.drill.account import Account
from receiver.drill.balance import BalanceError
from receiver.drill.roles import read
from tests.durability.away import bucket_away
from tests.durability.kills import random_kills
from tests.durability.shared import kills_of_replicas, restarts_of_the_database, storm_on_postgresql
from tests.durability.silence import silence
from tests.durability.storm import storm

CALLBACKS, KILLS, SILENT, RESTARTS, AWAY = 10_000, 100, 100, 10, 60


def main() -> None:
    """Run the drills that were asked for; exit 1 when any balance is off."""
    options = _options()
    chosen = options.parse_args()
    seed, held = chosen.seed, True
    if chosen.database == "postgresql":
        if chosen.silent or chosen.bucket_away:
            options.error("--silent and --bucket-away are drills on SQLite")
        sys.exit(0 if _on_postgresql(chosen) else 1)
    if chosen.restarts:
        options.error("--restarts needs --database postgresql")
    if chosen.roles:
        options.error("--roles needs --database postgresql")
    if not (chosen.callbacks or chosen.kills or chosen.silent or chosen.bucket_away):
        chosen.callbacks, chosen.kills, chosen.silent, chosen.bucket_away = CALLBACKS, KILLS, SILENT, AWAY
    if chosen.callbacks:
        held &= _held(lambda folder: storm(folder, callbacks=chosen.callbacks, seed=seed, say=_say))
    if chosen.silent:
        held &= _held(lambda folder: silence(folder, tasks=chosen.silent, seed=seed))
    if chosen.bucket_away:
        held &= _held(lambda folder: bucket_away(folder, seconds=chosen.bucket_away, seed=seed, say=_say))
    if chosen.kills:
        held &= _held(
            lambda folder: random_kills(folder, kills=chosen.kills, seed=seed, pause=chosen.pause, say=_say)
        )
    sys.exit(0 if held else 1)


def _on_postgresql(chosen: argparse.Namespace) -> bool:
    seed, held = chosen.seed, True
    if not (chosen.callbacks or chosen.kills or chosen.restarts):
        chosen.kills, chosen.restarts = KILLS, RESTARTS
    if chosen.callbacks:
        held &= _held(lambda folder: storm_on_postgresql(folder, callbacks=chosen.callbacks, seed=seed, say=_say))
    if chosen.kills:
        held &= _held(lambda folder: _kills_of_replicas(folder, chosen))
    if chosen.restarts:
        held &= _held(lambda folder: restarts_of_the_database(folder, restarts=chosen.restarts, seed=seed, say=_say))
    return held


def _kills_of_replicas(folder: Path, chosen: argparse.Namespace) -> Account:
    return kills_of_replicas(
        folder, kills=chosen.kills, seed=chosen.seed, roles=chosen.roles, pause=chosen.pause, say=_say
    )


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="make drill", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = options.add_argument
    add("--callbacks", type=int, metavar="N", help=f"callbacks under every fault at once ({CALLBACKS})")
    add("--silent", type=int, metavar="N", help=f"tasks of which every callback is dropped ({SILENT})")
    add("--bucket-away", type=int, metavar="S", help=f"seconds that the bucket of the audio is away ({AWAY})")
    add("--kills", type=int, metavar="N", help=f"kill -9 at random moments under load ({KILLS})")
    add("--database", choices=["sqlite", "postgresql"], default="sqlite", help="the database of the drills (sqlite)")
    add("--roles", type=read, metavar="ROLE=N,…", help="processes by role in place of three that do everything")
    add("--pause", type=float, default=0.1, metavar="SECONDS", help="what a caller waits between two tasks (0.1)")
    add("--restarts", type=int, metavar="N", help=f"restarts of PostgreSQL under load ({RESTARTS})")
    add("--seed", type=int, default=1, metavar="N", help="seed of every fault and of the moments of the kills (1)")
    return options


def _held(drill: Callable[[Path], Account]) -> bool:
    """Run one drill in a folder of its own and print its balance; say whether it holds."""
    with tempfile.TemporaryDirectory(prefix="receiver-drill-") as folder:
        account = drill(Path(folder))
    _say("")
    for line in account.lines():
        _say(line)
    try:
        account.assert_nothing_lost()
    except BalanceError as error:
        _say(f"  THE BALANCE IS OFF: {error}\n")
        return False
    _say("  the balance is exact\n")
    return True


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()

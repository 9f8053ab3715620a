"""Several processes on one PostgreSQL: any of them killed at random moments, and the database itself restarted."""

import random
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from receiver.bootstrap import new_keys
from receiver.drill.account import Account
from receiver.drill.ground import clear, lay, staged
from receiver.drill.play import Plan, Progress, Trouble, play
from receiver.providers import PROVIDERS
from receiver.settings import load
from tests.durability.storm import storm
from tests.postgresql import Server, serving

#: The issue asks for this much between two restarts, in seconds.
GAPS = (5.0, 40.0)
_RESTART_SECONDS = 3.0

Say = Callable[[str], None]
Serving = Callable[[], AbstractContextManager[Server]]


def syncing() -> AbstractContextManager[Server]:
    """Run a server that syncs, as where that is what is proved."""
    return serving(durable=True)


def kills_of_replicas(
    folder: Path,
    *,
    kills: int,
    seed: int,
    roles: Mapping[str, int] | None = None,
    pause: float = 0.1,
    in_seconds: float = 60.0,
    say: Say | None = None,
    serve: Serving = syncing,
) -> Account:
    """Kill any of the processes at random moments under load and return the account once every task has ended.

    ``roles``: so many of each; without, every process does everything. ``in_seconds``: when everything has to have
    ended after the last kill.
    """
    plan = Plan(
        name=f"{kills} kills of any of several processes on PostgreSQL",
        kills=kills,
        seed=seed,
        pause_seconds=pause,
        rest_seconds=max(120.0, in_seconds),
        most_seconds_to_end=in_seconds,
        kill_gap_seconds=(0.05, 2.0),
    )
    with serve() as server:
        return _played(folder, server, plan, say, roles=roles)


def storm_on_postgresql(
    folder: Path, *, callbacks: int, seed: int, say: Say | None = None, serve: Serving = syncing
) -> Account:
    """Many callbacks under every fault at once, with tasks in PostgreSQL."""
    with serve() as server:
        settings = {
            "RECEIVER_DATABASE_URL": server.database(),
            "RECEIVER_SIGNING_KEYS": new_keys()["signing_key"],
        }
        return storm(folder, callbacks=callbacks, seed=seed, say=say, settings=settings)


def restarts_of_the_database(
    folder: Path,
    *,
    restarts: int,
    seed: int,
    gaps: tuple[float, float] = GAPS,
    say: Say | None = None,
    serve: Serving = syncing,
) -> Account:
    """Restart PostgreSQL under load, in order or as by a power cut; no process of ours is started anew."""
    chance = random.Random(seed)
    times = [chance.uniform(*gaps) for _ in range(restarts)]
    plan = Plan(
        name=f"{restarts} restarts of PostgreSQL under load",
        seconds=sum(times) + _RESTART_SECONDS * restarts,
        kills=0,
        seed=seed,
    )
    with serve() as server:
        trouble = _Restarts(server, times, chance)
        account = _played(folder, server, plan, say, [trouble])
    return replace(account, notes=(f"restarts of PostgreSQL: {trouble.done}", *account.notes))


class _Restarts:
    """Ends the server after each of these times, in one way or the other, and starts it again."""

    def __init__(self, server: Server, times: Sequence[float], chance: random.Random) -> None:
        self._server = server
        self._times = times
        self._chance = chance
        self._stopping = threading.Event()
        self.done = 0

    def run(self) -> None:
        for seconds in self._times:
            if self._stopping.wait(seconds):
                break
            self._server.stop(self._chance.choice([signal.SIGINT, signal.SIGQUIT]))
            self._server.start()
            self.done += 1

    def stop(self) -> None:
        self._stopping.set()


def _played(
    folder: Path,
    server: Server,
    plan: Plan,
    say: Say | None,
    troubles: Sequence[Trouble] = (),
    roles: Mapping[str, int] | None = None,
) -> Account:
    environ = {
        "RECEIVER_DATABASE_URL": server.database(),
        "RECEIVER_DATA_DIR": str(folder / "data"),
        "RECEIVER_SECRETS_DIR": str(folder / "none"),
    }
    told = -1

    def watch(progress: Progress) -> None:
        nonlocal told
        if say is not None and progress.acknowledged // 100 > told:
            told = progress.acknowledged // 100
            say(f"{progress.seconds:.0f} s: {progress.acknowledged} tasks acknowledged, {progress.kills} kills")

    laid = lay(load(PROVIDERS.values(), environ=environ, env_file=None), roles)
    try:
        with staged(laid, plan.seed) as stage:
            return play(stage, plan, watch, troubles=troubles)
    finally:
        clear(laid)

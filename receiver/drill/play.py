"""All of it at once: load, the sandbox's faults, kills at random moments, callers that hang about; then rest."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from receiver.drill.account import Account, conclude
from receiver.drill.ground import Stage
from receiver.drill.load import Load
from receiver.drill.loiterers import Loiterers, opened, said
from receiver.drill.outages import Outages
from receiver.drill.processes import DrillError, NotInTimeError, Process
from receiver.drill.sides import KNOWN, Sides, wait_for_rest

#: Everything at once, each often enough to meet every kind of work.
FAULTS: Mapping[str, object] = {
    "seconds": [0.2, 2.0],
    "tune_seconds": [0.2, 0.4],
    "drop": 0.1,
    "duplicate": 0.2,
    "reorder": 0.2,
    "early": 0.1,
    "malformed": 0.05,
    "fail": 0.05,
    "lose_submit_answer": 0.05,
    "http_5xx": 0.05,
}
REFERENCE = "https://files.example.org/reference.mp3"
PROMPT = "quiet jazz trio, brushes and upright bass"
#: Beyond this a caller waits: the queue is to be worked on, not to grow.
_MOST_QUEUED = 50
_LOOK_SECONDS = 0.05
_TELL_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is done in a drill: until the seconds are over, the kills done and the callbacks due, all three.

    ``kills`` None: at random moments as long as the load goes on. ``callbacks`` counts what the submitted tasks are
    due. ``loiterers`` is how many half-open and how many slow callers there are at a time. After the load everything
    is given ``rest_seconds`` to end, and has to within ``most_seconds_to_end``. Submits whose answer was lost are
    given ``doubt_seconds`` more: where none may be sent twice, only the last look-up tells that one never arrived.
    ``store_outages`` is how often the folder of the audio is away, for ``outage_seconds``; nobody is killed then, as
    a service does not start without its folder.
    """

    name: str
    seconds: float = 0.0
    kills: int | None = None
    callbacks: int = 0
    faults: Mapping[str, object] = field(default_factory=lambda: FAULTS)
    seed: int = 1
    threads: int = 2
    pause_seconds: float = 0.1
    kill_gap_seconds: tuple[float, float] = (0.05, 5.0)
    loiterers: int = 6
    rest_seconds: float = 120.0
    doubt_seconds: float = 600.0
    most_seconds_to_end: float = 60.0
    store_outages: int = 0
    outage_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a drill is; ``open`` is how many tasks have not ended, None while they still come."""

    seconds: float
    acknowledged: int
    kills: int
    loiterers: int
    open: int | None = None


class Trouble(Protocol):
    """Something that goes on beside the load until it is stopped."""

    def run(self) -> None: ...

    def stop(self) -> None: ...


Watch = Callable[[Progress], None]


@dataclass(slots=True)
class _State:
    """What has been done so far."""

    began: float
    outages: Outages
    due: int = 0
    #: How often each process was killed, by its name.
    killed: Counter[str] = field(default_factory=Counter)

    @property
    def kills(self) -> int:
        """How often any of them was."""
        return self.killed.total()


def play(stage: Stage, plan: Plan, watch: Watch | None = None, *, troubles: Sequence[Trouble] = ()) -> Account:
    """Hold the drill on a running stage and return the account. Raises DrillError when it could not be held."""
    chance = random.Random(plan.seed)
    stage.sides.set_faults(plan.faults)
    outages = Outages(stage.audio, plan.store_outages, plan.outage_seconds, plan.kill_gap_seconds, chance)
    state = _State(time.monotonic(), outages)
    load = Load(stage.sides, _requests(stage.sides, state, plan.seed), plan.threads, plan.pause_seconds)
    loiterers = Loiterers(stage.sides, load, random.Random(plan.seed), plan.loiterers)

    def tell(still_open: int | None = None) -> None:
        if watch is None:
            return
        watch(
            Progress(
                time.monotonic() - state.began,
                len(set(load.acknowledged)),
                state.kills,
                opened(loiterers.met),
                still_open,
            )
        )

    with _under_way([load, loiterers, *troubles]) as running:
        try:
            _disturb(stage, plan, state, chance, running, tell)
        finally:
            outages.end()
    last = time.monotonic()
    ended: float | None = None
    hanging: tuple[str, ...] = ()
    try:
        wait_for_rest(stage.sides, plan.rest_seconds, tell, states=KNOWN)
        ended = time.monotonic()
        wait_for_rest(stage.sides, plan.doubt_seconds, tell)
    except NotInTimeError as error:
        hanging = (str(error),)
    found = conclude(plan.name, load, state.began, last, ended or time.monotonic())
    notes = (f"kill -9: {state.kills}", f"callers that hang about: {said(loiterers.met)}", *hanging)
    if len(state.killed) > 1:
        each = ", ".join(f"{name} {times}" for name, times in sorted(state.killed.items()))
        notes = (*notes, f"killed: {each}")
    if plan.store_outages:
        notes = (*notes, f"the artifact store away: {outages.had} × {plan.outage_seconds:g} s")
    return replace(found, notes=notes, most_seconds_to_end=plan.most_seconds_to_end)


@contextmanager
def _under_way(troubles: Sequence[Trouble]) -> Iterator[Sequence["Future[None]"]]:
    """Run each beside us; stop them at the end of the block whatever ends it, and raise what one of them raised."""
    with ThreadPoolExecutor(len(troubles), thread_name_prefix="drill") as pool:
        running = [pool.submit(trouble.run) for trouble in troubles]
        try:
            yield running
        finally:
            for trouble in troubles:
                trouble.stop()
    for future in running:
        future.result()


def _disturb(
    stage: Stage,
    plan: Plan,
    state: _State,
    chance: random.Random,
    running: "Sequence[Future[None]]",
    tell: Callable[[], None],
) -> None:
    """Kill at random moments until everything that was planned is done."""
    next_kill = time.monotonic() + _gap(plan, state, chance)
    told = 0.0
    #: Everybody's turn comes, in an order of chance.
    turns: list[Process] = []
    while not _done(plan, state):
        if any(one.done() for one in running):
            return
        now = time.monotonic()
        if now - told > _TELL_SECONDS:
            told = now
            tell()
        state.outages.step(now)
        if state.outages.under_way:
            next_kill = max(next_kill, now + plan.kill_gap_seconds[0])
        elif now >= next_kill and (plan.kills is None or state.kills < plan.kills):
            turns = turns or chance.sample(stage.services, len(stage.services))
            victim = turns.pop()
            victim.kill()
            victim.start()
            state.killed[victim.log.stem] += 1
            next_kill = time.monotonic() + _gap(plan, state, chance)
        if dead := [service for service in stage.services if service.dead]:
            raise DrillError(f"the service ended by itself; its words:\n{dead[0].words()[-2000:]}")
        time.sleep(_LOOK_SECONDS)


def _done(plan: Plan, state: _State) -> bool:
    return (
        time.monotonic() - state.began >= plan.seconds
        and state.kills >= (plan.kills or 0)
        and state.due >= plan.callbacks
        and state.outages.over
    )


def _gap(plan: Plan, state: _State, chance: random.Random) -> float:
    """Return the seconds until the next kill: spread over the time where it is known how many there are to be."""
    least, most = plan.kill_gap_seconds
    if plan.kills and plan.seconds:
        left = plan.seconds - (time.monotonic() - state.began)
        most = max(least, 2 * left / max(1, plan.kills - state.kills + 1))
    return chance.uniform(least, most)


def _requests(sides: Sides, state: _State, seed: int) -> Iterator[Mapping[str, object]]:
    """Yield requests to both providers without end, for one result or several, while the queue is short."""
    chance = random.Random(seed + 1)
    number = 0
    while True:
        number += 1
        while number % 10 == 0 and sides.count_open("queued") >= _MOST_QUEUED:
            time.sleep(_TELL_SECONDS)
        request = {"provider": "aimlapi", "prompt": PROMPT, "reference_audio": REFERENCE}
        if chance.random() < 0.5:  # noqa: PLR2004 - one as often as the other
            yield request
            continue
        count = chance.randint(1, 3)
        state.due += count
        yield {**request, "provider": "runware", "count": count}

"""The demo itself: start both processes, ask for covers, follow them, prove that the audio is there."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from rich.text import Text

from receiver.cli import screen
from receiver.cli.demo.children import Child, ChildError, child
from receiver.cli.demo.finale import finale
from receiver.cli.demo.proof import Proof, prove
from receiver.cli.demo.scene import Ports, Scene, environment, free_ports, receiver_command, sandbox_command, taken
from receiver.cli.failures import CommandError
from receiver.cli.progress import Progress
from receiver.cli.screen import foreign, ours
from receiver.cli.service import Service
from receiver.cli.waiting import follow
from receiver.sdk import Task
from receiver.storage import keyfiles
from receiver.system import RealSystem

_STARTS = 3
_REFERENCE = "https://audio.example/reference.mp3"
#: The covers that are asked for: one with one result, one with two, one from the provider that never calls back.
_REQUESTS: tuple[Mapping[str, object], ...] = (
    {
        "provider": "runware",
        "prompt": "slow bossa nova, nylon guitar, brushed drums, close voice",
        "reference_audio": _REFERENCE,
    },
    {
        "provider": "runware",
        "prompt": "brass band in a small street, morning light, trumpets in front",
        "reference_audio": _REFERENCE,
        "count": 2,
    },
    {
        "provider": "aimlapi",
        "prompt": "warm synthesizers, patient beat, a choir far away",
        "reference_audio": _REFERENCE,
        "lyrics": "[Verse]\nThe night train hums a second song\n[Chorus]\nAnd every lamp has sung along",
    },
)


@dataclass(slots=True)
class _Known:
    """What is known so far, for the moment something goes wrong."""

    tasks: list[Task] = field(default_factory=list)
    told: bool = False


async def play(stage: Scene, *, timeout_seconds: float, keep: bool, as_json: bool) -> None:
    """Do all of it within the time, and show it. Raises CommandError unless every audio file is on disk."""
    known = _Known()
    _say(ours("Starting both providers and the receiver in ").append_text(foreign(stage.folder)), as_json=as_json)
    try:
        try:
            async with asyncio.timeout(timeout_seconds) as limit, _started(stage) as (sandbox, receiver):
                await _main_job(stage, known, sandbox, receiver, as_json=as_json)
                if keep:
                    limit.reschedule(None)
                    await _go_on(receiver, as_json=as_json)
        except TimeoutError:
            raise CommandError(f"the demo was not done within {timeout_seconds:g} s") from None
    except CommandError as error:
        if as_json and not known.told:
            screen.document({"tasks": [dict(task.document) for task in known.tasks]})
        raise CommandError(error.message, *error.advice, f"what both processes logged: {stage.logs}") from None


@contextlib.asynccontextmanager
async def _started(stage: Scene) -> AsyncIterator[tuple[Child, Child]]:
    """Start both processes side by side; with other ports when somebody took ours just before."""
    for starts_left in reversed(range(_STARTS)):
        ports = free_ports()
        try:
            async with contextlib.AsyncExitStack() as stack:
                yield await _both(stage, ports, stack)
                return
        except ChildError:
            # Both have ended by now: whoever listens there is somebody else.
            if not starts_left or not (taken(ports.sandbox) or taken(ports.receiver)):
                raise


async def _both(stage: Scene, ports: Ports, stack: contextlib.AsyncExitStack) -> tuple[Child, Child]:
    surroundings = environment(stage, ports)
    seed = RealSystem().new_id().int % 2**31

    async def start(arguments: list[str]) -> Child:
        log = stage.logs / f"{arguments[0]}.log"
        return await stack.enter_async_context(child(arguments, folder=stage.logs, environment=surroundings, log=log))

    # Side by side, and both are waited for even when one fails, so that both are ended.
    outcomes = await asyncio.gather(
        start(sandbox_command(ports, seed)), start(receiver_command(ports)), return_exceptions=True
    )
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    sandbox, receiver = (outcome for outcome in outcomes if isinstance(outcome, Child))
    return sandbox, receiver


async def _main_job(stage: Scene, known: _Known, sandbox: Child, receiver: Child, *, as_json: bool) -> None:
    system = RealSystem()
    _say(f"The sandbox plays both providers on {sandbox.said['url']}", as_json=as_json)
    _say(f"The receiver listens on {receiver.said['url']}", as_json=as_json)
    async with _service(receiver).connect() as client:
        with Progress(system, error=as_json, live=not as_json, waits=False) as progress:
            for request in _REQUESTS:
                known.tasks.append(await client.submit(request))
                progress.see(known.tasks[-1])
            known.tasks = await follow(client, known.tasks, progress, system)
    proof = prove(known.tasks, await _ledger(sandbox), stage.audio)
    _show(stage, proof, as_json=as_json)
    if as_json:
        screen.document({"tasks": [dict(task.document) for task in known.tasks]})
        known.told = True
    if proof.problems:
        raise CommandError("not every cover is there", *proof.problems)


def _service(receiver: Child) -> Service:
    path = Path(receiver.said["api_key_file"])
    try:
        key = keyfiles.read(path).split()[0]
    except (FileNotFoundError, keyfiles.KeyFileError) as error:
        raise CommandError(f"the key of the demo's receiver cannot be read: {error}") from None
    return Service(receiver.said["url"], key, str(path))


async def _ledger(sandbox: Child) -> Mapping[str, object]:
    """Ask the sandbox what it really did."""
    async with httpx.AsyncClient(trust_env=False) as client:  # noqa: TID251 - the sandbox's own door, no provider's
        try:
            answer = await client.get(f"{sandbox.said['url']}/_sandbox/ledger")
            ledger: object = answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise CommandError(f"the sandbox does not show its ledger ({type(error).__name__})") from None
    return ledger if isinstance(ledger, dict) else {}


def _show(stage: Scene, proof: Proof, *, as_json: bool) -> None:
    screen.line("", error=as_json)
    screen.lines(finale(proof.exhibits, stage.audio, width=screen.width(error=as_json)), error=as_json)
    screen.line("", error=as_json)
    files = sum(exhibit.file is not None for exhibit in proof.exhibits)
    if proof.problems:
        _say(f"{files} audio files are on disk.", as_json=as_json)
    else:
        text = f"{files} audio files are on disk, each with the length and the sha256 of the providers' ledger."
        _say(ours(text, "green"), as_json=as_json)
    _say(ours("They lie below ").append_text(foreign(stage.audio)), as_json=as_json)
    _say(ours("When you are done, delete the folder ").append_text(foreign(stage.folder)), as_json=as_json)


async def _go_on(receiver: Child, *, as_json: bool) -> None:
    """Serve until somebody ends it, which is then how it should end."""
    screen.line("", error=as_json)
    _say(ours("Serving on until Ctrl-C: ").append(receiver.said["url"], "bold"), as_json=as_json)
    _say(
        f"Dashboard: {receiver.said['url']}/ (sign in with the key in {receiver.said['api_key_file']})",
        as_json=as_json,
    )
    folder = receiver.said["data_dir"]
    _say(f"Try: receiver tasks --url {receiver.said['url']} --data-dir {folder}", as_json=as_json)
    with contextlib.suppress(asyncio.CancelledError):
        await receiver.ended()
        raise CommandError("the receiver ended by itself")


def _say(text: Text | str, *, as_json: bool) -> None:
    screen.line(text, error=as_json)

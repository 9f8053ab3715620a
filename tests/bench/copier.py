"""One audio taken into custody: `python -m tests.bench.copier FOLDER LINK STORE [S3]`; a fresh process for each.

Everything is done as by a worker: the step itself, on the ports that the service is built of. A short piece goes
first, so that what is measured is copying, not starting. The last line is a JSON object: seconds, and by how much the
memory of the process rose at most, in MB.
"""

import asyncio
import json
import sys
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import uvloop

from receiver.bootstrap import Receiver, load_settings, opened
from receiver.domain.report import Via
from receiver.domain.request import TaskRequest
from receiver.domain.result import Artifact, ArtifactStatus, Result
from receiver.domain.task import Change, Status, Task
from receiver.lifecycle import collect
from receiver.settings import Loaded

_MODEL = "minimax:music@cover"


def main() -> None:
    """Copy, and tell."""
    folder, link, store, *s3 = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        told = runner.run(_measured(_loaded(Path(folder), link, store, s3), link))
    sys.stdout.write(f"{json.dumps(told)}\n")


def _loaded(folder: Path, link: str, store: str, s3: list[str]) -> Loaded:
    bucket = {
        "RECEIVER_S3_ENDPOINT_URL": s3[0],
        "RECEIVER_S3_REGION": "us-east-1",
        "RECEIVER_S3_ACCESS_KEY_ID": "bench",
        "RECEIVER_S3_SECRET_ACCESS_KEY": "bench",
    } if s3 else {}  # fmt: skip
    return load_settings(
        {
            "RECEIVER_DATA_DIR": str(folder),
            "RECEIVER_ARTIFACT_STORE_URL": store,
            "RECEIVER_ALLOWED_PRIVATE_HOSTS": f"media={link.split('/')[2]}",
            "RECEIVER_LOG_LEVEL": "warning",
            **bucket,
        }
    )


async def _measured(loaded: Loaded, link: str) -> dict[str, float]:
    async with opened(loaded) as receiver:
        await _copied(receiver, f"{link.rpartition('/')[0]}/short.wav")
        before = _kilobytes("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")
        seconds = await _copied(receiver, link)
        return {"seconds": seconds, "megabytes": (_kilobytes("VmHWM") - before) / 1000}


async def _copied(receiver: Receiver, link: str) -> float:
    """Return the seconds from the claim until it is recorded that the audio is kept."""
    ports = receiver.ports
    task = _task(ports.system.new_key(), ports.system.new_id(), receiver, link)
    await ports.store.create(Change(task))
    begun = time.perf_counter()
    [work] = await collect.lease(ports, 1)
    await collect.collect(ports, work)
    took = time.perf_counter() - begun
    kept = await ports.store.task(task.id)
    if kept is None or kept.results[0].artifact.status is not ArtifactStatus.STORED:
        raise SystemExit(f"it was not kept: {kept.results[0].artifact.error if kept else 'no task'}")
    return took


def _task(key: UUID, task_id: UUID, receiver: Receiver, link: str) -> Task:
    now = receiver.ports.system.now()
    result = Result(
        id=receiver.ports.system.new_id(),
        index=0,
        identity="one",
        via=Via.CALLBACK,
        received_at=now,
        report_id=receiver.ports.system.new_key(),
        link=link,
        artifact=Artifact(due_at=now - timedelta(seconds=1)),
    )
    return Task(
        key=key,
        id=task_id,
        request=TaskRequest("runware", "bossa nova with nylon guitar", "https://files.example.org/a.mp3", count=1),
        model=_MODEL,
        created_at=now,
        deadline_seconds=86400.0,
        status=Status.COLLECTING,
        submitted_at=now,
        settled_at=now,
        results=(result,),
    )


def _kilobytes(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return float(line.split()[1])
    raise SystemExit("the kernel tells no memory of a process here")


if __name__ == "__main__":
    main()

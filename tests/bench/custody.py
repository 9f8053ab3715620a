"""Audio copied into storage, beside curl, which copies the same bytes and checks nothing."""

import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx

from tests.bench.lines import Figure, Plan
from tests.bench.load import BenchError, free_port, serving

_MEGABYTES = 200
_FLOOR_MEGABYTES, _GOAL_MEGABYTES = 48, 16
_COPY_SECONDS, _BUCKET_SECONDS = 600.0, 60.0
_BUCKET = "covers"
_RATE = 44100


def custody(folder: Path, plan: Plan) -> list[Figure]:
    """S11: audio of 200 MB taken into a folder and into a bucket, beside curl."""
    curl = shutil.which("curl")
    if curl is None:
        raise BenchError("curl is missing: apt-get install curl")
    place = folder / "custody"
    place.mkdir()
    _write_wave(place / "short.wav", 1)
    _write_wave(place / "long.wav", _MEGABYTES)
    port, bucket_port = free_port(), free_port()
    link, api = f"http://127.0.0.1:{port}/long.wav", f"http://127.0.0.1:{bucket_port}"
    copy = folder / "custody-curl.wav"
    bare, ours, theirs = [], [], []
    with serving("tests.bench.peers.media", port, str(place), str(port)):
        for number in range(plan.rounds):
            bare.append(_timed([curl, "-s", "-f", "-o", str(copy), link]))
            ours.append(_copied(folder / f"custody-folder-{number}", link, str(folder / f"custody-audio-{number}")))
            shutil.rmtree(folder / f"custody-audio-{number}")
            # Anew for each round: what was put is gone with it.
            with serving("tests.bench.peers.bucket", bucket_port, _BUCKET, str(bucket_port)):
                _wait_for_bucket(api)
                theirs.append(_copied(folder / f"custody-s3-{number}", link, f"s3://{_BUCKET}/{number}", api))
    took = [copied["seconds"] for copied in ours]
    rates = {"receiver MB/s": _MEGABYTES / statistics.median(took), "curl MB/s": _MEGABYTES / statistics.median(bare)}
    # No ratio for the bucket: the S3 API of the tests takes longer to take the file in than all else together.
    up = {"receiver MB/s": _MEGABYTES / statistics.median(copied["seconds"] for copied in theirs)}
    return [
        Figure("S11", f"audio of {_MEGABYTES} MB copied into a folder ÷ `curl -o`", "ratio",
               tuple(other / mine for other, mine in zip(bare, took, strict=True)), 0.7, 1.0, rising=True,
               beside=rates),
        _memory("a folder", ours, rates),
        _memory("a bucket", theirs, up),
    ]  # fmt: skip


def _memory(where: str, copies: Sequence[Mapping[str, float]], beside: Mapping[str, float]) -> Figure:
    return Figure(
        "S11", f"memory while copying it into {where}", "MB", tuple(copied["megabytes"] for copied in copies),
        _FLOOR_MEGABYTES, _GOAL_MEGABYTES, rising=False, beside=beside,
    )  # fmt: skip


def _wait_for_bucket(api: str) -> None:
    """Wait until it is made, which takes the server's first seconds."""
    end = time.monotonic() + _BUCKET_SECONDS
    while httpx.get(f"{api}/{_BUCKET}", timeout=_BUCKET_SECONDS).status_code != httpx.codes.OK:
        if time.monotonic() > end:
            raise BenchError("the bucket was not made")
        time.sleep(0.1)


def _timed(command: Sequence[str]) -> float:
    begun = time.perf_counter()
    if subprocess.run(command, check=False, timeout=_COPY_SECONDS).returncode:
        raise BenchError(f"{Path(command[0]).name} failed")
    return time.perf_counter() - begun


def _copied(data: Path, link: str, *store: str) -> Mapping[str, float]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECEIVER_")}
    said = subprocess.run(
        [sys.executable, "-m", "tests.bench.copier", str(data), link, *store],
        env=environment, capture_output=True, text=True, timeout=_COPY_SECONDS, check=False,
    )  # fmt: skip
    if said.returncode:
        raise BenchError(f"nothing was copied: {said.stderr.strip()[-300:]}")
    told: Mapping[str, float] = json.loads(said.stdout.splitlines()[-1])
    return told


def _write_wave(path: Path, megabytes: int) -> None:
    """Write noise that no file system can make smaller."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        for _ in range(megabytes):
            file.writeframes(secrets.token_bytes(1_000_000))


GROUPS: Mapping[str, Callable[[Path, Plan], Sequence[Figure]]] = {"custody": custody}

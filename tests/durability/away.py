"""The bucket of the audio away for a while under load: on the way to it nothing listens."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from receiver.drill.account import Account
from receiver.drill.ground import Stage
from receiver.drill.play import Plan, Progress, play
from tests.flows.relay import Relay
from tests.harness import running
from tests.storage.bucket import make_bucket, serving_s3

#: Of load before it goes and after it is back, in seconds.
_BESIDE = 5.0
#: Whoever waits for the store tries again after two minutes at the latest.
_MOST_BACK_OFF_SECONDS = 150.0
_SETTINGS = {
    "RECEIVER_AIMLAPI_LOOKUP_SECONDS": "2,4,8,12",
    "RECEIVER_S3_REGION": "eu-central-1",
    "RECEIVER_S3_ACCESS_KEY_ID": "drill",
    "RECEIVER_S3_SECRET_ACCESS_KEY": "a secret of the drill",
}


class _Away:
    """Cuts the way to the bucket for some seconds, and opens it again."""

    def __init__(self, wire: Relay, seconds: float) -> None:
        self._wire = wire
        self._seconds = seconds
        self._stopping = threading.Event()
        self.is_over = False

    def run(self) -> None:
        if not self._stopping.wait(_BESIDE):
            self._wire.turn("cut")
            self._stopping.wait(self._seconds)
            self._wire.turn("open")
            self.is_over = True
            self._stopping.wait()

    def stop(self) -> None:
        self._stopping.set()


def bucket_away(folder: Path, *, seconds: float, seed: int, say: Callable[[str], None] | None = None) -> Account:
    """Take the bucket away under load, with every usual fault, and return the account once every task has ended."""
    plan = Plan(
        name=f"the bucket away for {seconds:g} s under load",
        seconds=seconds + 2 * _BESIDE,
        kills=0,
        seed=seed,
        threads=1,
        rest_seconds=120.0 + _MOST_BACK_OFF_SECONDS,
        most_seconds_to_end=60.0 + _MOST_BACK_OFF_SECONDS,
    )
    told = -1

    def watch(progress: Progress) -> None:
        nonlocal told
        if say is not None and progress.acknowledged // 100 > told:
            told = progress.acknowledged // 100
            say(f"{progress.seconds:.0f} s: {progress.acknowledged} tasks acknowledged")

    # A line for each request otherwise.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with serving_s3() as url:
        wire = Relay()
        wire.lead_to(url)
        bucket = make_bucket(url, "covers")
        settings = {
            **_SETTINGS,
            "RECEIVER_ARTIFACT_STORE_URL": bucket.location,
            "RECEIVER_S3_ENDPOINT_URL": wire.url,
        }
        away = _Away(wire, seconds)
        with running(folder, settings=settings, seed=seed) as stack:
            account = play(Stage(stack.sandbox, [stack.service], stack.sides), plan, watch, troubles=[away])
        left_open = bucket.uploads().count("<UploadId>")
    notes = (f"the bucket away: {'once' if away.is_over else 'never'}", f"uploads left open: {left_open}")
    return replace(account, notes=(*notes, *account.notes))

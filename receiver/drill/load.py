"""Load as a careful caller makes it: each task under a key of its own, asked for again until it is acknowledged."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx

from receiver.drill.processes import DrillError
from receiver.drill.sides import Sides

_PAUSE_AFTER_SECONDS = 0.05


@dataclass
class Load:
    """Submits ``requests`` from several threads at once; ``acknowledged`` are the tasks whose 202 came.

    ``refused`` counts what callers met instead: "503", "503 without Retry-After", "no answer".
    """

    sides: Sides
    requests: Iterator[Mapping[str, object]]
    threads: int = 1
    pause_seconds: float = 0.0
    acknowledged: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    _taking: threading.Lock = field(default_factory=threading.Lock)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _taken: int = 0

    def run(self) -> None:
        """Return when every request is acknowledged, or after a stop. Raises what any of the threads raised."""
        with ThreadPoolExecutor(self.threads, thread_name_prefix="load") as pool:
            for thread in [pool.submit(self._submit_all) for _ in range(self.threads)]:
                thread.result()

    def stop(self) -> None:
        """Take no further request, and give up the ones under way: they may have arrived or not."""
        self._stopping.set()

    def _submit_all(self) -> None:
        with httpx.Client(timeout=30, headers=dict(self.sides.headers), trust_env=False) as http:
            while not self._stopping.is_set():
                try:
                    taken = self._take()
                    if taken is None:
                        return
                    self._submit(http, *taken)
                except BaseException:
                    self.stop()
                    raise
                self._stopping.wait(self.pause_seconds)

    def _take(self) -> tuple[int, Mapping[str, object]] | None:
        with self._taking:
            request = next(self.requests, None)
            self._taken += 1
            return None if request is None else (self._taken, request)

    def _submit(self, http: httpx.Client, number: int, request: Mapping[str, object]) -> None:
        attempt = number
        while not self._stopping.is_set():
            service = self.sides.services[attempt % len(self.sides.services)]
            attempt += 1
            try:
                answer = http.post(
                    f"{service}/v1/tasks", json=dict(request), headers={"Idempotency-Key": f"drill-{number}"}
                )
            except httpx.TransportError:
                self._met("no answer")
                continue
            if answer.status_code == httpx.codes.ACCEPTED:
                self.acknowledged.append(answer.json()["id"])
                return
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                raise DrillError(f"POST /v1/tasks: HTTP {answer.status_code} {answer.text[:200]}")
            self._met("503" if "retry-after" in answer.headers else "503 without Retry-After")

    def _met(self, what: str) -> None:
        with self._taking:
            self.refused[what] += 1
        self._stopping.wait(_PAUSE_AFTER_SECONDS)

"""Load as a careful caller makes it: each task under a key of its own, asked for again until it is acknowledged."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx

from tests.harness import Stack


@dataclass
class Load:
    """Submits ``requests`` from several threads at once; ``acknowledged`` are the tasks whose 202 came."""

    stack: Stack
    requests: Iterator[Mapping[str, object]]
    threads: int = 1
    pause_seconds: float = 0.0
    acknowledged: list[str] = field(default_factory=list)
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
        with httpx.Client(timeout=30, headers=self.stack.headers()) as http:
            while not self._stopping.is_set():
                taken = self._take()
                if taken is None:
                    return
                try:
                    self._submit(http, *taken)
                except BaseException:
                    self.stop()
                    raise
                self._stopping.wait(self.pause_seconds)

    def _take(self) -> tuple[str, Mapping[str, object]] | None:
        with self._taking:
            request = next(self.requests, None)
            self._taken += 1
            return None if request is None else (f"drill-{self._taken}", request)

    def _submit(self, http: httpx.Client, key: str, request: Mapping[str, object]) -> None:
        while not self._stopping.is_set():
            try:
                answer = http.post(
                    f"{self.stack.service.url}/v1/tasks", json=request, headers={"Idempotency-Key": key}
                )
            except httpx.TransportError:
                self._stopping.wait(0.05)
                continue
            if answer.status_code == httpx.codes.ACCEPTED:
                self.acknowledged.append(answer.json()["id"])
                return
            assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
            self._stopping.wait(0.1)

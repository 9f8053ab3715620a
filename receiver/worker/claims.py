"""The claims on work under way that may take longer than a claim lasts, and what prolongs them meanwhile."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Sequence
from uuid import UUID

from receiver.domain.errors import UnavailableError
from receiver.lifecycle import collect
from receiver.lifecycle.ports import Ports
from receiver.worker.watching import Outage

_log = logging.getLogger("receiver.worker")


class Claims:
    """Keeps the claims on what is collected, submitted, searched for: a file of 50 MiB may take minutes."""

    def __init__(self, ports: Ports, outage: Outage, over: asyncio.Event) -> None:
        """Take where claims are kept, what says when that is away, and what ends all prolonging."""
        self._ports = ports
        self._outage = outage
        self._audio: dict[UUID, collect.Hold] = {}
        self._tasks: set[UUID] = set()
        self._over = over

    @contextlib.contextmanager
    def of_audio(self, claim: collect.Hold) -> Iterator[None]:
        """Keep the claim on a result as long as the block lasts."""
        self._audio[claim.result_id] = claim
        try:
            yield
        finally:
            # After a jump of the clock another step of ours may have taken it up, and keeps its own.
            if self._audio.get(claim.result_id) is claim:
                del self._audio[claim.result_id]

    @contextlib.contextmanager
    def of_tasks(self, task_keys: Sequence[UUID]) -> Iterator[None]:
        """Keep the claims on tasks as long as the block lasts: nobody takes a submit for one that broke off."""
        self._tasks.update(task_keys)
        try:
            yield
        finally:
            self._tasks.difference_update(task_keys)

    async def prolong(self) -> None:
        """Prolong what there is, three times as often as it must be, until all is over."""
        seconds = self._ports.limits.lease.total_seconds() / 3
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), seconds)
            if self._over.is_set():
                continue
            try:
                await self._once()
            except UnavailableError as error:
                self._outage.met(error, "prolong")
            except Exception:  # noqa: BLE001 - a loop outlives whatever goes wrong in it
                _log.exception("step_failed", extra={"step": "prolong"})

    async def _once(self) -> None:
        if self._audio:
            await collect.prolong(self._ports, list(self._audio.values()))
        if self._tasks:
            limits, now = self._ports.limits, self._ports.system.now()
            await self._ports.store.prolong_tasks(list(self._tasks), now=now, lease=limits.lease)

"""Whether this process lives and can take work; the answers tell nothing else."""

import asyncio
import logging
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.lifecycle.ports import Ports
from receiver.web import problems
from receiver.web.answers import Health, Ready
from receiver.web.context import DescribedRoute, answer_json
from receiver.web.faults import log_fault
from receiver.web.operations import Operation, answers

PATHS = frozenset({"/healthz", "/readyz"})
#: A look at the store serves all who ask within this time: anybody may ask.
FRESH_SECONDS = 1.0
PING_SECONDS = 5.0
_log = logging.getLogger("receiver.web")


class Readiness:
    """Asks the store whether it would take a write, at most once a second; and whether the worker runs, if any."""

    def __init__(self, ports: Ports, works: Callable[[], bool] | None = None) -> None:
        """Take the store and the clock; ``works`` tells whether the worker of this process runs, None without one."""
        self._ports = ports
        self._works = works
        self._lock = asyncio.Lock()
        self._looked_at: float | None = None
        self._ready = False

    async def ready(self) -> bool:
        """Tell whether the store would take a write now, or would have a moment ago, and the worker runs."""
        async with self._lock:
            now = self._ports.system.monotonic()
            if self._looked_at is None or now - self._looked_at >= FRESH_SECONDS:
                self._ready = await self._look()
                self._looked_at = self._ports.system.monotonic()
            return self._ready and self.works is not False

    @property
    def works(self) -> bool | None:
        """Whether the worker of this process runs; None when it has none."""
        return None if self._works is None else self._works()

    async def _look(self) -> bool:
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._ports.store.ping()
        except Exception as error:  # noqa: BLE001 - whatever it is, we are not ready
            log_fault(_log, "not_ready", error)
            return False
        return True


def routes(readiness: Readiness) -> list[Route]:
    """Return the two routes that need no key."""

    async def healthz(_: Request) -> Response:
        return answer_json({"status": "ok"})

    async def readyz(_: Request) -> Response:
        is_ready, works = await readiness.ready(), readiness.works
        worker = {} if works is None else {"worker": "running" if works else "stopped"}
        if is_ready:
            return answer_json({"status": "ready", **worker})
        return answer_json({"status": "unavailable", **worker}, 503, {"Retry-After": str(problems.RETRY_AFTER)})

    return [
        DescribedRoute("/healthz", healthz, {"GET": _HEALTHZ}),
        DescribedRoute("/readyz", readyz, {"GET": _READYZ}),
    ]


_HEALTHZ = Operation(
    "getHealth",
    "service",
    "Whether this process lives",
    {200: answers("It does.", Health)},
    opened_by="nothing",
)
_READYZ = Operation(
    "getReadiness",
    "service",
    "Whether this process can take work",
    {
        200: answers("The store would take a write, and the worker runs where there is one.", Ready),
        503: answers(
            "The store would not, or the worker does not run.",
            Ready,
            Retry_After="Seconds after which to come again.",
        ),
    },
    opened_by="nothing",
)

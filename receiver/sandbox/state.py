"""What one running sandbox holds, handed to every route."""

from collections import Counter, deque
from dataclasses import dataclass, field, replace

import anyio

from receiver.sandbox.config import SandboxConfig
from receiver.sandbox.faults import Faults
from receiver.sandbox.generation import Generation, Provider
from receiver.sandbox.links import Links
from receiver.sandbox.moment import Moment
from receiver.sandbox.reference import Reference
from receiver.sandbox.studio import Studio


@dataclass(slots=True)
class State:
    """The settings, the faults of the moment, every accepted generation, and the signal to stop.

    `drain` is set when the server begins to stop: whatever waits or streams for long ends itself on it. `doors`
    counts submit requests for each provider, refused ones too. `logs_asked` holds the clock of recent requests to
    AIMLAPI's log route. `under_way` counts what has yet to end or to be sent: at 0 nothing more comes by itself.
    `stored` is what was put into the account's media storage, by its UUID.
    """

    config: SandboxConfig
    base_url: str
    links: Links
    faults: Faults
    studio: Studio = field(default_factory=Studio)
    drain: anyio.Event = field(default_factory=anyio.Event)
    generations: dict[Provider, dict[str, Generation]] = field(
        default_factory=lambda: {provider: {} for provider in Provider}
    )
    doors: Counter[Provider] = field(default_factory=Counter)
    logs_asked: deque[float] = field(default_factory=deque)
    under_way: int = 0
    stored: dict[str, Reference] = field(default_factory=dict)

    def faults_for(self, provider: Provider) -> Faults:
        """Return the faults that hold for a provider now."""
        if self.faults.only in {None, provider.value}:
            return self.faults
        return Faults()

    def add(self, generation: Generation) -> None:
        """Remember an accepted generation under the id that its provider knows it by."""
        self.generations[generation.order.provider][_key(generation.order.provider, generation.id)] = generation

    def find(self, provider: Provider, generation_id: str) -> Generation | None:
        """Return an accepted generation by that id."""
        return self.generations[provider].get(_key(provider, generation_id))

    async def wait(self, moment: Moment, seconds: float | None = None) -> bool:
        """Wait for a moment, at most so long, and not beyond the server's stop; return whether it came."""
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as group:

                async def stop() -> None:
                    await self.drain.wait()
                    group.cancel_scope.cancel()

                group.start_soon(stop)
                await moment.wait()
                group.cancel_scope.cancel()
        return moment.has_come


def _key(provider: Provider, generation_id: str) -> str:
    """Return the id as it is compared: UUIDs regardless of case."""
    return generation_id.lower() if provider is Provider.RUNWARE else generation_id


def new_state(config: SandboxConfig, base_url: str) -> State:
    """Return the state of a sandbox that has accepted nothing yet; media links start with `base_url`."""
    return State(config=config, base_url=base_url, links=Links(base_url), faults=replace(config.faults))

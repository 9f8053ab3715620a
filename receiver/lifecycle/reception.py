"""Reception: how a provider takes what is submitted to it, and how many submits may begin for that."""

from datetime import timedelta

from receiver.domain import standing
from receiver.domain.attempt import NotSent, SubmitOutcome, Unclear
from receiver.domain.errors import ErrorCode, UnavailableError
from receiver.domain.standing import Standing
from receiver.lifecycle.ports import Pause, Standings


class Reception:
    """How a provider has taken the last submits, whoever of us made them.

    What is kept is changed where it has to be: by a submit without a clear answer, and by a clear answer after such.
    In between, others' news come with ``heard``, so a clear answer of ours may not yet end what others have met a
    moment ago; the next one does.
    """

    def __init__(self, provider: str, standings: Standings, probe: timedelta) -> None:
        """``probe`` is how long at most a submit that finds out may take."""
        self._provider = provider
        self._standings = standings
        self._probe = probe.total_seconds()
        self._known = Standing()

    @property
    def unclear_in_a_row(self) -> int:
        """How many submits in a row got no clear answer, as far as is known here."""
        return self._known.unclear_in_a_row

    @property
    def doubtful(self) -> bool:
        """Whether the provider is taken to be out of order, as far as is known here."""
        return self._known.doubtful

    async def take_over(self, pause: Pause) -> None:
        """Begin with what the last pause in the store says of the provider.

        The rest itself is over, perhaps a new address was set; but one that gave no clear answer before is not sent
        a crowd anew by every restart.
        """
        if pause.error.code is ErrorCode.PROVIDER:
            self._known = await self._standings.change(
                self._provider, lambda kept, _: (standing.doubt(kept), standing.doubt(kept))
            )

    def heard(self, kept: Standing) -> None:
        """Take over what others have met."""
        self._known = kept

    async def most(self, free: int, slots: int) -> int:
        """Return how many submits may begin: a single one, to find out, where the last got no clear answer.

        Whoever gets that one and makes no submit of it says so (``leave``). Raises UnavailableError.
        """
        if not self.doubtful:
            return free
        if free != slots:
            return 0

        def change(kept: Standing, now: float) -> tuple[Standing, tuple[Standing, bool]]:
            changed, granted = standing.probe(kept, now, self._probe) if kept.doubtful else (kept, True)
            return changed, (changed, granted)

        self._known, granted = await self._standings.change(self._provider, change)
        return int(granted)

    async def leave(self) -> None:
        """Let somebody else find out."""
        if self.doubtful:
            await self._standings.change(self._provider, lambda kept, _: (standing.leave(kept), None))

    async def note(self, outcome: SubmitOutcome, seconds: float) -> timedelta | None:
        """Count what came of a submit that took ``seconds``; return the rest that the provider needs now, if any.

        Never raises: what came of a submit is to be recorded whether this can be written or not.
        """
        was_clear = not isinstance(outcome, Unclear | NotSent)
        if was_clear and self._known.unclear_in_a_row == 0:
            return None
        if isinstance(outcome, NotSent) and not self.doubtful:
            return None

        def change(kept: Standing, now: float) -> tuple[Standing, tuple[Standing, timedelta | None]]:
            changed, rest = standing.note(kept, outcome, now - seconds, now)
            return changed, (changed, rest)

        try:
            self._known, rest = await self._standings.change(self._provider, change)
        except UnavailableError:
            return None
        return rest

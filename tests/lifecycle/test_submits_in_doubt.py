"""An attempt whose opening was committed and never answered: nothing was sent, and that is what is written down."""

from pathlib import Path

import pytest

from receiver.domain.errors import UnavailableError
from receiver.domain.request import TaskRequest
from receiver.domain.task import Status, Work
from receiver.lifecycle import submit
from tests.lifecycle.studio import MODELS, studio
from tests.postgresql import Server
from tests.storage.wires import wired


@pytest.fixture
def there(postgresql: Server) -> str:
    return postgresql.database()


async def test_a_submit_that_was_claimed_in_doubt_goes_back_to_the_queue_and_not_to_the_unknown(
    there: str, tmp_path: Path
) -> None:
    async with wired(there) as wire, studio(tmp_path, lambda: 1.0, database=wire.url) as studied:
        ports, aimlapi = studied.ports, studied.ports.providers["aimlapi"]
        link = "https://files.example.org/a.mp3"
        asked = TaskRequest("aimlapi", "a prompt long enough", link, model=MODELS["aimlapi"])
        task, _ = await submit.intend(ports, submit.Asked(asked))
        wire.lose_answers()
        with pytest.raises(UnavailableError):
            await submit.lease(ports, aimlapi, 1)
        assert wire.lost == 1
        held = await studied.now(task)
        assert (held.status, held.work, held.attempts, held.attempt_open_since) == (
            Status.QUEUED,
            Work.SUBMIT,
            1,
            None,
        )
        [made] = [event for event in await ports.store.events(task.id) if event.type == "attempt.made"]
        assert made.data["outcome"] == "not_sent"
        assert studied.providers.done_at == {}
        # Nobody holds it any more, so it is sent when its time has come.
        assert held.due_at is not None
        studied.system.passed += (held.due_at - ports.system.now()).total_seconds()
        [again] = await submit.lease(ports, aimlapi, 1)
        assert (again.id, again.attempts) == (task.id, 2)

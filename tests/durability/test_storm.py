from pathlib import Path

from receiver.drill.account import callbacks
from tests.durability.silence import silence
from tests.durability.storm import storm


def test_under_every_fault_at_once_the_balance_of_some_hundred_callbacks_is_exact(tmp_path: Path) -> None:
    account = storm(tmp_path, callbacks=250, seed=5)
    account.assert_nothing_lost()
    assert account.acknowledged == sum(account.balance.statuses.values())
    calls = callbacks(account.books)
    assert calls["results"] == 250
    assert calls["never sent"] > 0
    assert calls["twice"] > 0
    assert calls["counted"] >= calls["acknowledged"] > 200
    assert any("AIMLAPI submitted twice" in line and line.endswith(" 0") for line in account.lines())


def test_with_every_callback_dropped_every_task_succeeds_and_the_delay_is_told(tmp_path: Path) -> None:
    account = silence(tmp_path, tasks=6, seed=2, settings={}, seconds=(0.2, 0.5))
    account.assert_nothing_lost()
    assert dict(account.balance.statuses) == {"succeeded": 6}
    assert callbacks(account.books)["sent"] == 0
    assert any(note.startswith("runware: settled after it was made, median ") for note in account.notes)

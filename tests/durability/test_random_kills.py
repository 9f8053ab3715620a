from pathlib import Path

from tests.durability.kills import random_kills


def test_killed_at_random_moments_under_load_nothing_is_lost_and_every_task_ends(tmp_path: Path) -> None:
    account = random_kills(tmp_path, kills=5, seed=7, pause=0.15)
    account.assert_nothing_lost()
    assert account.acknowledged > 5
    assert account.balance.ledger_tasks > 5
    assert account.seconds_to_end < 60

from pathlib import Path

from tests.durability.shared import kills_of_replicas, restarts_of_the_database
from tests.postgresql import serving


def test_with_any_of_several_processes_killed_nothing_is_lost_and_every_task_ends(tmp_path: Path) -> None:
    account = kills_of_replicas(tmp_path, kills=2, seed=11, serve=serving)
    account.assert_nothing_lost()
    assert account.balance.ledger_tasks > 10
    assert "kill -9: 2" in account.notes
    # Somebody is always there.
    assert account.refused.get("503", 0) == 0


def test_with_the_database_restarted_nothing_is_lost_and_nobody_of_ours_is(tmp_path: Path) -> None:
    account = restarts_of_the_database(tmp_path, restarts=2, seed=4, gaps=(2.0, 4.0), serve=serving)
    account.assert_nothing_lost()
    assert account.balance.ledger_tasks > 10
    assert "restarts of PostgreSQL: 2" in account.notes
    assert set(account.refused) <= {"503"}

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


def test_with_each_process_of_a_role_killed_nothing_is_lost_and_every_task_ends(tmp_path: Path) -> None:
    roles = {"callbacks": 2, "worker": 2, "api": 1}
    account = kills_of_replicas(tmp_path, kills=5, seed=3, pause=1.5, in_seconds=600, roles=roles, serve=serving)
    account.assert_nothing_lost()
    assert account.balance.ledger_tasks > 5
    assert "killed: api-1 1, callbacks-1 1, callbacks-2 1, worker-1 1, worker-2 1" in account.notes
    results = [result["via"] for task in account.books.ours for result in task["results"]]
    assert {"callback", "poll"} <= set(results)


def test_with_the_database_restarted_nothing_is_lost_and_nobody_of_ours_is(tmp_path: Path) -> None:
    account = restarts_of_the_database(tmp_path, restarts=2, seed=4, gaps=(2.0, 4.0), serve=serving)
    account.assert_nothing_lost()
    assert account.balance.ledger_tasks > 10
    assert "restarts of PostgreSQL: 2" in account.notes
    assert set(account.refused) <= {"503"}

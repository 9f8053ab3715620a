"""A dump of PostgreSQL is put back as the runbook says, and nothing is paid for twice."""

import subprocess
from collections import Counter
from pathlib import Path

from receiver.bootstrap import new_keys
from tests.harness import running
from tests.infra.tools import INFRA
from tests.postgresql import programs, serving


def call(program: str, *arguments: str | Path) -> None:
    done = subprocess.run(
        [programs() / program, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_what_was_queued_at_the_dump_and_sent_since_is_found_and_not_sent_again(tmp_path: Path) -> None:
    dump = tmp_path / "receiver.dump"
    with serving() as server:
        settings = {"RECEIVER_DATABASE_URL": server.database(), "RECEIVER_SIGNING_KEYS": new_keys()["signing_key"]}
        with running(tmp_path / "stack", serve=False, settings=settings) as stack:
            stack.sandbox.kill()
            stack.service.start()
            tasks = [stack.submit(provider)["id"] for provider in ("aimlapi", "runware", "aimlapi")]
            call("pg_dump", "--format=custom", f"--file={dump}", settings["RECEIVER_DATABASE_URL"])
            assert {stack.task(task)["status"] for task in tasks} == {"queued"}
            stack.sandbox.start()
            stack.faults()
            stack.wait_for_all(seconds=60)
            stack.service.kill()
            restored = server.database()
            call("pg_restore", "--exit-on-error", f"--dbname={restored}", dump)
            script = INFRA / "backup" / "restored.sql"
            call("psql", restored, "--quiet", "--set=ON_ERROR_STOP=1", f"--file={script}")
            stack.service.environment = {**stack.service.environment, "RECEIVER_DATABASE_URL": restored}
            stack.service.start()
            assert {stack.wait_for(task, seconds=60)["status"] for task in tasks} == {"succeeded"}
            assert Counter(entry["provider"] for entry in stack.ledger()) == {"aimlapi": 2, "runware": 1}
            assert {entry["submits"] for entry in stack.ledger()} == {1}

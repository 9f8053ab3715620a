import os
import subprocess
import sys
from pathlib import Path

import pytest

from receiver.bootstrap import new_keys

KEYS = new_keys()
BOTH = {"RECEIVER_SIGNING_KEYS": KEYS["signing_key"], "RECEIVER_API_KEYS": KEYS["api_key"]}
NOBODY = "postgresql://receiver:hush-hush@127.0.0.1:9/receiver"
#: An installation without the extra: the driver cannot be found.
WITHOUT_DRIVER = """
import sys
sys.modules["asyncpg"] = None
from receiver.cli import main
sys.argv = ["receiver", "serve", "--port", "0"]
main()
"""


def refused(folder: Path, *arguments: str, **settings: str) -> str:
    """What is said when the service does not start."""
    environment = {"PATH": os.environ["PATH"], "NO_COLOR": "1", "RECEIVER_DATA_DIR": str(folder), **settings}
    ended = subprocess.run(
        [sys.executable, *(arguments or ("-m", "receiver", "serve", "--port", "0"))],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1, said
    assert "Traceback" not in said
    assert "hush-hush" not in said
    return " ".join(said.split())


@pytest.mark.parametrize("missing", BOTH)
def test_a_shared_database_needs_keys_that_all_who_share_it_have(tmp_path: Path, missing: str) -> None:
    given = {name: value for name, value in BOTH.items() if name != missing}
    said = refused(tmp_path, RECEIVER_DATABASE_URL=NOBODY, **given)
    assert f"{missing} must be set where RECEIVER_DATABASE_URL is PostgreSQL" in said
    assert "receiver keys new" in said
    assert not (tmp_path / "signing_keys").exists()


def test_a_server_that_cannot_be_reached_is_named_as_such_without_its_password(tmp_path: Path) -> None:
    said = refused(tmp_path, RECEIVER_DATABASE_URL=NOBODY, **BOTH)
    assert "the database cannot be used now: it cannot be reached" in said


def test_without_the_driver_the_extra_that_brings_it_is_named(tmp_path: Path) -> None:
    said = refused(tmp_path, "-c", WITHOUT_DRIVER, RECEIVER_DATABASE_URL=NOBODY, **BOTH)
    assert 'PostgreSQL needs the extra `postgres`: pip install "receiver[postgres]"' in said


def test_a_url_of_another_engine_is_refused_with_those_there_are(tmp_path: Path) -> None:
    said = refused(tmp_path, RECEIVER_DATABASE_URL="mysql://u:hush-hush@localhost/x", **BOTH)
    assert "RECEIVER_DATABASE_URL must be sqlite:///<path> or postgresql://" in said

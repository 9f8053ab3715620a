"""On PostgreSQL a drill has a database of its own, and the user's is only connected to."""

from pathlib import Path

import pytest

from receiver.drill.ground import clear, lay
from receiver.drill.processes import DrillError
from receiver.providers import PROVIDERS
from receiver.settings import Loaded, load
from tests.postgresql import Server


def _loaded(folder: Path, url: str) -> Loaded:
    environ = {
        "RECEIVER_DATABASE_URL": url,
        "RECEIVER_DATA_DIR": str(folder / "var"),
        "RECEIVER_SECRETS_DIR": str(folder / "none"),
    }
    return load(PROVIDERS.values(), environ=environ, env_file=None)


def _databases(server: Server) -> set[object]:
    return {name for (name,) in server.ask("SELECT datname FROM pg_database")}


def test_it_is_made_beside_the_users_and_dropped_with_the_rest(tmp_path: Path, postgresql: Server) -> None:
    theirs = postgresql.database()
    before = _databases(postgresql)
    laid = lay(_loaded(tmp_path, theirs))
    assert _databases(postgresql) == {*before, laid.name}
    own = laid.settings["RECEIVER_DATABASE_URL"]
    assert postgresql.ask("SELECT current_database()", of=own) == [(laid.name,)]
    clear(laid)
    assert _databases(postgresql) == before
    assert list(tmp_path.iterdir()) == []


def test_a_user_who_may_not_make_one_is_told_what_to_do_and_nothing_is_left(
    tmp_path: Path, postgresql: Server
) -> None:
    postgresql.ask("CREATE ROLE weak LOGIN")
    with pytest.raises(DrillError, match="CREATEDB"):
        lay(_loaded(tmp_path, postgresql.url("postgres", user="weak")))
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_away_is_said_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(DrillError, match="cannot be used") as said:
        lay(_loaded(tmp_path, "postgresql://receiver:hush-hush@127.0.0.1:9/receiver"))
    assert "hush-hush" not in str(said.value)

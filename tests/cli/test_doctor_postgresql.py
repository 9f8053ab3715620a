"""`receiver doctor` where the database is PostgreSQL: what the server says of itself, and what mends it."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from receiver.bootstrap import new_keys
from receiver.storage.store import migrate
from tests.cli.conftest import Said
from tests.postgresql import Server, serving

Typed = Callable[..., Said]
Checks = Mapping[str, dict[str, Any]]
Doctor = Callable[[str], Checks]
OF_THE_SERVER = ["database", "rights", "durability", "connections", "database clock"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of our own, which syncs, as that is among what is looked at."""
    with serving(durable=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def url(server: Server) -> str:
    made = server.database()
    migrate(made)
    return made


@pytest.fixture
def doctor(receiver: Typed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Doctor:
    """Examine an installation on a database, and return what was found by name."""

    def examine(url: str) -> Checks:
        monkeypatch.setenv("RECEIVER_DATABASE_URL", url)
        monkeypatch.setenv("RECEIVER_DATA_DIR", str(tmp_path))
        monkeypatch.setenv("RECEIVER_SIGNING_KEYS", new_keys()["signing_key"])
        said = receiver("doctor", "--json")
        assert said.err == "", said.err
        assert "hush-hush" not in said.out
        return {check["name"]: check for check in json.loads(said.out)["checks"]}

    return examine


def test_a_good_server_is_looked_at_from_its_version_to_its_clock(server: Server, url: str, doctor: Doctor) -> None:
    before = server.ask("SELECT count(*), sum(n_tup_ins + n_tup_upd) FROM pg_stat_user_tables", of=url)
    found = doctor(url)
    # A busy machine's commit may be slow: that is a warning.
    assert [found[name]["level"] for name in OF_THE_SERVER if name != "durability"] == ["ok"] * 4, found
    assert "every commit" in found["durability"]["message"] or "synced" in found["durability"]["message"]
    assert "revision" in found["database"]["message"]
    assert found["service"]["message"] == "no process serves this database"
    assert server.ask("SELECT count(*), sum(n_tup_ins + n_tup_upd) FROM pg_stat_user_tables", of=url) == before


def test_keys_of_a_time_on_sqlite_are_none_where_processes_share_a_database(
    url: str, receiver: Typed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RECEIVER_DATA_DIR", str(tmp_path))
    tmp_path.chmod(0o700)
    for name, key in (("signing_keys", new_keys()["signing_key"]), ("api_key", new_keys()["api_key"])):
        (tmp_path / name).write_text(key)
        (tmp_path / name).chmod(0o600)
    found = {check["name"]: check["level"] for check in json.loads(receiver("doctor", "--json").out)["checks"]}
    assert (found["API keys"], found["signing keys"]) == ("ok", "ok")
    monkeypatch.setenv("RECEIVER_DATABASE_URL", url)
    found = {check["name"]: check for check in json.loads(receiver("doctor", "--json").out)["checks"]}
    for name in ("API keys", "signing keys"):
        assert found[name]["level"] == "failed"
        assert "is not set" in found[name]["message"]


def test_each_thing_that_is_wrong_with_a_server_is_named_with_what_mends_it(
    server: Server, url: str, doctor: Doctor
) -> None:
    assert doctor(server.database())["database"]["level"] == "warning"
    server.ask("CREATE ROLE guest LOGIN CONNECTION LIMIT 8")
    name = url.partition("?")[0].rpartition("/")[2]
    found = doctor(server.url(name, user="guest"))
    assert found["rights"]["message"] == "this user may not read and write every table there"
    assert (found["connections"]["level"], found["connections"]["mend"]) == (
        "warning",
        "raise max_connections, or the limit of the user or of the database",
    )
    server.ask(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    try:
        assert "takes no writes" in doctor(url)["rights"]["message"]
    finally:
        server.ask(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    server.ask("UPDATE alembic_version SET version_num = '9999'", of=url)
    assert doctor(url)["database"]["mend"] == "install that one"


def test_a_server_that_does_not_sync_is_no_place_for_what_was_acknowledged(
    postgresql: Server, doctor: Doctor
) -> None:
    found = doctor(postgresql.database())
    assert (found["durability"]["level"], found["durability"]["mend"]) == (
        "failed",
        "set fsync = on in postgresql.conf",
    )


def test_a_server_that_cannot_be_reached_is_named_without_its_password(doctor: Doctor) -> None:
    found = doctor("postgresql://receiver:hush-hush@127.0.0.1:9/receiver")
    assert found["database"]["level"] == "failed"
    assert found["database"]["message"].startswith("PostgreSQL at 127.0.0.1:9/receiver: ")
    assert found["service"]["level"] == "failed"

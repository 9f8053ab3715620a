"""env.example names every setting with its meaning and default, and nothing else."""

from pathlib import Path

from receiver.providers import PROVIDERS
from receiver.settings import load
from tests.infra.env_example import EXAMPLE, described, render


def test_the_example_is_what_the_settings_say() -> None:
    assert EXAMPLE.read_text("utf-8") == render(), "renew it: python -m tests.infra.env_example"


def test_the_example_with_every_line_switched_on_changes_nothing(tmp_path: Path) -> None:
    lines = [line.removeprefix("#") for line in EXAMPLE.read_text("utf-8").splitlines() if _is_setting(line)]
    assert len(lines) == len(described())
    env_file = tmp_path / "receiver.env"
    env_file.write_text("\n".join(lines).replace("/run/secrets", "/nonexistent"))
    loaded = load(PROVIDERS.values(), environ={}, env_file=env_file)
    assert loaded.settings == load(PROVIDERS.values(), environ={}, env_file=None).settings
    assert loaded.options == load(PROVIDERS.values(), environ={}, env_file=None).options
    assert loaded.keys == {}


def _is_setting(line: str) -> bool:
    name, equals, _ = line.removeprefix("#").partition("=")
    return line.startswith("#") and bool(equals) and name.isidentifier() and name.isupper()

"""The data folder is its owner's alone, whoever made it; keys that others could read are no keys."""

import os
from pathlib import Path

import pytest

from receiver.bootstrap import StartError, opened
from receiver.providers import PROVIDERS
from receiver.settings import load
from receiver.storage.keyfiles import KeyFileError, close_to_others

OURS = ("receiver.db", "api_key")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir()
    made.chmod(0o755)
    return made


def permissions(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("held", [(), ("receiver.db",), ("api_key", "notes.txt")])
@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o777])
def test_an_existing_folder_of_ours_or_an_empty_one_is_closed_to_others(
    folder: Path, held: tuple[str, ...], mode: int
) -> None:
    for name in held:
        (folder / name).touch()
    folder.chmod(mode)
    assert close_to_others(folder, ours=OURS)
    assert permissions(folder) == 0o700
    assert not close_to_others(folder, ours=OURS)


def test_a_folder_that_holds_other_things_is_refused_and_left_as_it_is(folder: Path) -> None:
    (folder / "thesis.txt").touch()
    with pytest.raises(KeyFileError, match="a folder of its own"):
        close_to_others(folder, ours=OURS)
    assert permissions(folder) == 0o755
    folder.chmod(0o700)
    assert not close_to_others(folder, ours=OURS)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_folder_of_somebody_else_is_left_as_it_is(folder: Path) -> None:
    os.chown(folder, 65534, 65534)
    assert not close_to_others(folder, ours=OURS)
    assert permissions(folder) == 0o755


async def test_a_start_closes_its_data_folder_or_says_why_it_does_not(folder: Path) -> None:
    loaded = load(PROVIDERS.values(), environ={"RECEIVER_DATA_DIR": str(folder)}, env_file=None)
    async with opened(loaded):
        assert permissions(folder) == 0o700
    for kept in folder.iterdir():
        kept.rename(folder.parent / kept.name)
    (folder / "thesis.txt").touch()
    folder.chmod(0o755)
    with pytest.raises(StartError, match="holds other things"):
        async with opened(loaded):
            pass

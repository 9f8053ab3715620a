"""The ground of a drill: on the user's disks, under the user's limits, with nothing else of the user's."""

from pathlib import Path

import httpx
import pytest

from receiver.drill.ground import clear, lay
from receiver.drill.processes import DrillError
from receiver.providers import PROVIDERS
from receiver.settings import Loaded, load
from tests.storage.bucket import make_bucket, serving_s3

_THEIRS = {
    "RECEIVER_PUBLIC_URL": "https://hooks.example.org",
    "RECEIVER_API_KEYS": "theirs:0123456789abcdef0123456789abcdef",
    "RECEIVER_SIGNING_KEYS": "theirs:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "RECEIVER_METRICS_KEY": "theirs-0123456789abcdef0123456789abcdef",
    "RECEIVER_ALLOWED_PRIVATE_HOSTS": "10.0.0.0/8",
    "RECEIVER_API_HOSTS": "theirs.example.org",
    "RUNWARE_API_KEY": "theirs-runware",
    "AIMLAPI_API_KEY": "theirs-aimlapi",
    "RECEIVER_RUNWARE_URL": "https://theirs.example.org/v1",
}


def _loaded(folder: Path, **settings: str) -> Loaded:
    environ = {"RECEIVER_DATA_DIR": str(folder / "var"), "RECEIVER_SECRETS_DIR": str(folder / "none"), **settings}
    return load(PROVIDERS.values(), environ=environ, env_file=None)


def test_nothing_of_the_users_but_limits_goes_into_a_drill(tmp_path: Path) -> None:
    laid = lay(_loaded(tmp_path, **_THEIRS, RECEIVER_MAX_MEDIA_BYTES="2000000", RECEIVER_LEASE_SECONDS="600"))
    assert laid.settings["RECEIVER_MAX_MEDIA_BYTES"] == "2000000"
    assert laid.settings["RECEIVER_LEASE_SECONDS"] != "600"
    text = "\n".join(f"{name}={value}" for name, value in laid.settings.items())
    assert [value for value in _THEIRS.values() if value in text] == []


def test_the_folders_lie_beside_the_users_own_and_go_without_a_trace(tmp_path: Path) -> None:
    (tmp_path / "fast").mkdir()
    (tmp_path / "fast" / "receiver.db").write_text("theirs")
    laid = lay(
        _loaded(
            tmp_path,
            RECEIVER_DATABASE_URL=f"sqlite:///{tmp_path / 'fast' / 'receiver.db'}",
            RECEIVER_ARTIFACT_STORE_URL=str(tmp_path / "large"),
        )
    )
    name = laid.folder.name
    assert name.startswith("drill-")
    assert {place.parent for place in laid.places} == {tmp_path / place for place in ("var", "fast", "large")}
    assert all(place.is_dir() and place.name == name for place in laid.places)
    assert laid.settings["RECEIVER_DATABASE_URL"] == f"sqlite:///{tmp_path / 'fast' / name / 'receiver.db'}"
    assert (tmp_path / "var").stat().st_mode & 0o77 == 0
    clear(laid)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["fast", "fast/receiver.db"]


def test_audio_goes_below_the_users_bucket_and_never_into_memory(tmp_path: Path) -> None:
    bucket = {
        "RECEIVER_ARTIFACT_STORE_URL": "s3://songs/all",
        "RECEIVER_S3_ENDPOINT_URL": "http://127.0.0.1:1",
        "RECEIVER_S3_ACCESS_KEY_ID": "name",
        "RECEIVER_S3_SECRET_ACCESS_KEY": "secret",
    }
    laid = lay(_loaded(tmp_path, **bucket))
    assert laid.audio == f"s3://songs/all/{laid.folder.name}"
    assert laid.settings["RECEIVER_S3_SECRET_ACCESS_KEY"] == "secret"
    laid = lay(_loaded(tmp_path, RECEIVER_ARTIFACT_STORE_URL="memory://"))
    assert laid.audio == str(laid.folder / "artifacts")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file")
    with pytest.raises(DrillError, match=r"no folder for the drill can be made: .*var"):
        lay(_loaded(tmp_path))


def test_what_a_drill_put_into_the_users_bucket_goes_and_nothing_else(tmp_path: Path) -> None:
    with serving_s3() as url:
        bucket = make_bucket(url, "songs")
        access = {
            "RECEIVER_ARTIFACT_STORE_URL": bucket.location,
            "RECEIVER_S3_ENDPOINT_URL": url,
            "RECEIVER_S3_REGION": "eu-central-1",
            "RECEIVER_S3_ACCESS_KEY_ID": "tests",
            "RECEIVER_S3_SECRET_ACCESS_KEY": "a secret of the tests",
        }
        laid = lay(_loaded(tmp_path, **access))
        for place in (laid.audio, bucket.location):
            path = place.removeprefix("s3://")
            httpx.put(f"{url}/{path}/audio/one.mp3", content=b"x").raise_for_status()
        clear(laid)
        left = httpx.get(f"{url}/songs?list-type=2").text
        assert "<Key>music/covers/audio/one.mp3</Key>" in left
        assert laid.name not in left

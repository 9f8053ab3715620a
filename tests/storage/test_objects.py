"""The artifact store: one suite for every kind of it, and what only a folder can promise."""

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.domain.errors import MediaInterruptedError, NotFoundError, UnavailableError
from receiver.lifecycle.ports import Objects
from receiver.storage.keys import checked_key
from receiver.storage.objects import open_objects
from tests.storage.bucket import Bucket, make_bucket, serving_s3

DATA = bytes(range(256)) * 4096
OTHER_DISK = Path("/dev/shm")  # noqa: S108 what matters is that it is not the disk of tmp_path


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with serving_s3() as url:
        yield url


@pytest.fixture
def bucket(s3: str) -> Bucket:
    return make_bucket(s3, f"b{uuid4().hex}")


@pytest.fixture(params=["folder", "memory", "bucket"])
async def objects(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Objects]:
    if request.param == "bucket":
        bucket: Bucket = request.getfixturevalue("bucket")
        async with bucket.opened() as opened:
            yield opened
        return
    location = str(tmp_path / "artifacts") if request.param == "folder" else "memory://"
    async with open_objects(location) as opened:
        yield opened


def written(objects: Objects, data: bytes) -> Path:
    """A temporary file of the store."""
    path = objects.scratch()
    path.write_bytes(data)
    return path


async def streamed(objects: Objects, key: str, start: int = 0, end: int | None = None) -> bytes:
    async with objects.stream(key, start=start, end=end) as pieces:
        return b"".join([piece async for piece in pieces])


# --- what every store does ------------------------------------------------------------------------------------


async def test_bytes_that_were_kept_are_read_again(objects: Objects) -> None:
    await objects.keep_bytes(DATA, "reports/a-b_c.1")
    await objects.keep_bytes(b"", "reports/empty")
    assert await objects.read("reports/a-b_c.1") == DATA
    assert await objects.read("reports/empty") == b""


async def test_a_file_that_was_kept_is_read_again_and_has_left_its_place(objects: Objects) -> None:
    path = written(objects, DATA)
    await objects.keep_file(path, "audio/task/result.mp3")
    assert await objects.read("audio/task/result.mp3") == DATA
    assert not path.exists()


async def test_no_two_scratch_paths_are_alike_and_none_exists(objects: Objects) -> None:
    paths = {objects.scratch() for _ in range(100)}
    assert len(paths) == 100
    assert not any(path.exists() for path in paths)
    assert all(path.parent.is_dir() for path in paths)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, None),
        (0, 0),
        (0, 1),
        (5, 5),
        (7, 300_000),
        (len(DATA) - 1, None),
        (len(DATA), None),
        (len(DATA) + 5, None),
        (0, len(DATA) + 5),
        (len(DATA) + 5, len(DATA) + 9),
    ],
)
async def test_a_stream_gives_the_part_that_was_asked_for(objects: Objects, start: int, end: int | None) -> None:
    await objects.keep_bytes(DATA, "audio/x")
    assert await streamed(objects, "audio/x", start, end) == DATA[start:end]


async def test_a_stream_comes_in_small_pieces(objects: Objects) -> None:
    await objects.keep_bytes(DATA, "audio/x")
    async with objects.stream("audio/x") as pieces:
        sizes = [len(piece) async for piece in pieces]
    assert max(sizes) <= 256 * 1024
    assert sum(sizes) == len(DATA)


async def test_a_stream_may_be_left_before_its_end(objects: Objects) -> None:
    await objects.keep_bytes(DATA, "audio/x")
    async with objects.stream("audio/x") as pieces:
        async for piece in pieces:
            assert piece
            break
    assert await objects.read("audio/x") == DATA


@pytest.mark.parametrize(("start", "end"), [(-1, None), (5, 4)])
async def test_a_range_that_is_none_is_an_error_of_the_caller(objects: Objects, start: int, end: int | None) -> None:
    await objects.keep_bytes(DATA, "audio/x")
    with pytest.raises(ValueError, match="range"):
        await streamed(objects, "audio/x", start, end)


async def test_what_is_not_there_is_not_found_on_entry(objects: Objects) -> None:
    await objects.keep_bytes(b"x", "audio/task/x")
    for key in ("audio/task/y", "other", "audio/task"):
        with pytest.raises(NotFoundError):
            await objects.read(key)
        with pytest.raises(NotFoundError):
            async with objects.stream(key):
                pytest.fail("the stream was opened")


async def test_what_was_removed_is_gone_and_removing_it_again_is_no_error(objects: Objects) -> None:
    await objects.keep_bytes(b"x", "audio/task/x")
    await objects.keep_bytes(b"y", "audio/task/y")
    for _ in range(2):
        await objects.remove("audio/task/x")
        await objects.remove("nobody/knows")
        await objects.remove("audio/task")
    with pytest.raises(NotFoundError):
        await objects.read("audio/task/x")
    assert await objects.read("audio/task/y") == b"y"
    await objects.keep_bytes(b"again", "audio/task/x")
    assert await objects.read("audio/task/x") == b"again"


async def test_the_same_object_may_be_kept_twice(objects: Objects) -> None:
    await objects.keep_bytes(DATA, "audio/x")
    await objects.keep_bytes(DATA, "audio/x")
    path = written(objects, DATA)
    await objects.keep_file(path, "audio/x")
    assert not path.exists()
    assert await objects.read("audio/x") == DATA


@pytest.mark.parametrize("other", [b"other", DATA[:-1] + b"?"])
async def test_another_object_is_never_overwritten(objects: Objects, other: bytes) -> None:
    await objects.keep_bytes(DATA, "audio/x")
    path = written(objects, other)
    with pytest.raises(MediaInterruptedError, match="another object"):
        await objects.keep_file(path, "audio/x")
    with pytest.raises(UnavailableError, match="another object"):
        await objects.keep_bytes(other, "audio/x")
    assert await objects.read("audio/x") == DATA
    assert path.exists(), "what could not be kept stays the caller's"


@pytest.mark.parametrize("other", [b"other", DATA[:-1] + b"?", DATA * 6])
async def test_another_object_is_replaced_where_that_is_asked_for(objects: Objects, other: bytes) -> None:
    await objects.keep_bytes(DATA, "audio/x")
    path = written(objects, other)
    await objects.keep_file(path, "audio/x", replace=True)
    assert await objects.read("audio/x") == other
    assert not path.exists()


async def test_a_file_that_is_not_there_cannot_be_kept(objects: Objects) -> None:
    with pytest.raises(MediaInterruptedError):
        await objects.keep_file(objects.scratch(), "audio/x")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc/passwd",
        "a/",
        "a//b",
        ".",
        "..",
        "../a",
        "a/../b",
        "a/./b",
        "a/..",
        ".scratch/x",
        "a/.hidden",
        "a b",
        "a\\b",
        "a\n",
        "ä",
        "a\0b",
        "a:b",
        "~/x",
        "x" * 513,
    ],
)
async def test_a_key_that_could_mean_another_place_is_refused(objects: Objects, key: str) -> None:
    with pytest.raises(ValueError, match="cannot be the key"):
        await objects.keep_bytes(b"x", key)
    with pytest.raises(ValueError, match="cannot be the key"):
        await objects.keep_file(written(objects, b"x"), key)
    with pytest.raises(ValueError, match="cannot be the key"):
        await objects.read(key)
    with pytest.raises(ValueError, match="cannot be the key"):
        await streamed(objects, key)
    with pytest.raises(ValueError, match="cannot be the key"):
        await objects.remove(key)
    with pytest.raises(ValueError, match="cannot be the key"):
        objects.where(key)


@given(st.text(alphabet="ab./-_~ \\\n", max_size=12))
def test_every_key_that_is_taken_stays_below_the_root(key: str) -> None:
    try:
        taken = checked_key(key)
    except ValueError:
        return
    assert taken == key
    assert os.path.normpath(f"/store/{key}") == f"/store/{key}"


async def test_many_objects_are_kept_at_once(objects: Objects) -> None:
    async with anyio.create_task_group() as group:
        for number in range(30):
            group.start_soon(objects.keep_bytes, str(number).encode(), f"audio/{number % 3}/{number}")
    for number in range(30):
        assert await objects.read(f"audio/{number % 3}/{number}") == str(number).encode()


async def test_keeping_and_removing_in_one_folder_do_not_disturb_each_other(objects: Objects) -> None:
    async def come_and_go(number: int) -> None:
        for _ in range(10):
            await objects.keep_bytes(DATA[:number], f"audio/task/{number}")
            assert await objects.read(f"audio/task/{number}") == DATA[:number]
            await objects.remove(f"audio/task/{number}")

    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(come_and_go, number)


# --- where a store lies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["{}", "file://{}", "file://localhost{}"])
async def test_a_folder_is_named_by_path_or_url(tmp_path: Path, form: str) -> None:
    root = tmp_path / "with space"
    location = form.format(str(root).replace(" ", "%20") if "://" in form else root)
    async with open_objects(location) as objects:
        await objects.keep_bytes(b"x", "a/b")
        assert objects.where("a/b") == str(root / "a" / "b")
    assert (root / "a" / "b").read_bytes() == b"x"


async def test_a_relative_folder_is_found_again_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_objects("artifacts") as objects:
        monkeypatch.chdir("/")
        await objects.keep_bytes(b"x", "a")
    assert (tmp_path / "artifacts" / "a").read_bytes() == b"x"


async def test_the_store_in_memory_is_gone_when_it_is_closed() -> None:
    async with open_objects("memory://") as objects:
        path = written(objects, b"left over")
        await objects.keep_bytes(b"x", "a/b")
        assert objects.where("a/b") == "memory:///a/b"
    assert not path.parent.exists()
    async with open_objects("memory://") as objects:
        with pytest.raises(NotFoundError):
            await objects.read("a/b")


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("s3://", "must be s3://bucket"),
        ("s3://Bucket/prefix", "must be s3://bucket"),
        ("s3://key:secret@bucket/prefix", "must be s3://bucket"),
        ("s3://bucket/prefix?region=x", "must be s3://bucket"),
        ("s3://bucket/../x", "cannot be the key"),
        ("https://bucket.example", "cannot be https://"),
        ("memory://name", "cannot be memory://"),
        ("file://elsewhere/srv", "must be file:///"),
        ("file://", "must be file:///"),
        ("", "needs a folder"),
    ],
)
async def test_a_location_of_another_kind_is_refused_with_what_would_do(location: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        async with open_objects(location):
            pytest.fail("it was opened")


def test_a_folder_needs_no_object_store_library() -> None:
    program = (
        "import asyncio, sys, tempfile\n"
        "from receiver.storage.objects import open_objects\n"
        "async def use(root):\n"
        "    async with open_objects(root) as objects:\n"
        "        await objects.keep_bytes(b'x', 'a')\n"
        "with tempfile.TemporaryDirectory() as root:\n"
        "    asyncio.run(use(root))\n"
        "sys.exit('obstore' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


# --- what a bucket promises -----------------------------------------------------------------------------------

LARGE = DATA * 13


async def test_a_large_file_goes_up_piece_by_piece_and_comes_back_whole(bucket: Bucket) -> None:
    async with bucket.opened() as objects:
        await objects.keep_file(written(objects, LARGE), "audio/x.wav")
        async with objects.stream("audio/x.wav") as pieces:
            sizes = [len(piece) async for piece in pieces]
        assert (max(sizes) <= 256 * 1024, sum(sizes)) == (True, len(LARGE))
        assert await objects.read("audio/x.wav") == LARGE
    assert "<UploadId>" not in bucket.uploads()


async def test_a_large_file_is_never_put_in_the_place_of_another(bucket: Bucket) -> None:
    async with bucket.opened() as objects:
        await objects.keep_file(written(objects, LARGE), "audio/x")
        await objects.keep_file(written(objects, LARGE), "audio/x")
        for other in (LARGE[:-1], LARGE[:-1] + b"?"):
            path = written(objects, other)
            with pytest.raises(MediaInterruptedError, match="another object"):
                await objects.keep_file(path, "audio/x")
            assert path.exists()
        assert await objects.read("audio/x") == LARGE
        await objects.keep_file(written(objects, LARGE[:-1]), "audio/x", replace=True)
        assert await objects.read("audio/x") == LARGE[:-1]


async def test_one_bucket_serves_two_stores_with_prefixes_of_their_own(bucket: Bucket) -> None:
    async with bucket.opened() as objects, open_objects(f"s3://{bucket.name}", bucket.access) as whole:
        await objects.keep_bytes(b"x", "a/b")
        assert objects.where("a/b") == f"s3://{bucket.name}/music/covers/a/b"
        assert await whole.read("music/covers/a/b") == b"x"
        assert await whole.newest("music/covers/a", 5) == ["music/covers/a/b"]
        assert await objects.newest("a", 5) == ["a/b"]


async def test_a_bucket_that_is_away_is_unavailable_and_then_there_again() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    away = Bucket(f"http://127.0.0.1:{port}", "never")
    async with away.opened() as objects:
        with pytest.raises(UnavailableError, match="artifact store") as caught:
            await objects.keep_bytes(b"x", "a")
        assert "secret" not in str(caught.value)
        with pytest.raises(MediaInterruptedError, match="artifact store"):
            await objects.keep_file(written(objects, b"x"), "a")
        with pytest.raises(UnavailableError):
            await objects.read("a")
        with serving_s3(port) as url:
            make_bucket(url, away.name)
            await objects.keep_bytes(b"x", "a")
            assert await objects.read("a") == b"x"


async def test_a_bucket_that_does_not_exist_is_unavailable_and_not_an_empty_one(s3: str) -> None:
    async with Bucket(s3, "nobody-made-it").opened() as objects:
        with pytest.raises((UnavailableError, NotFoundError)):
            await objects.keep_bytes(b"x", "a")


async def test_an_upload_takes_memory_for_a_few_pieces_and_not_for_the_file(bucket: Bucket) -> None:
    program = (
        "import asyncio, resource, sys\n"
        "from receiver.storage.objects import BucketAccess, open_objects\n"
        "async def use(url, name):\n"
        "    access = BucketAccess(url, 'eu-central-1', 'tests', 'a secret of the tests')\n"
        "    async with open_objects(f's3://{name}', access) as objects:\n"
        "        await objects.keep_bytes(b'x', 'warm')\n"
        "        path = objects.scratch()\n"
        "        with path.open('wb') as file:\n"
        "            file.truncate(96 * 1024 * 1024)\n"
        "        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "        await objects.keep_file(path, 'audio/x')\n"
        "        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
        "asyncio.run(use(*sys.argv[1:]))\n"
    )
    ran = await anyio.run_process([sys.executable, "-c", program, bucket.url, bucket.name], check=True)
    assert int(ran.stdout) < 16 * 1024


# --- what a folder promises -----------------------------------------------------------------------------------


async def test_files_and_folders_are_the_owners_alone(tmp_path: Path) -> None:
    root = tmp_path / "new" / "artifacts"
    async with open_objects(str(root)) as objects:
        path = written(objects, DATA)
        path.chmod(0o644)
        await objects.keep_file(path, "audio/task/x.mp3")
        await objects.keep_bytes(DATA, "reports/y")
    for path in [root, *root.rglob("*")]:
        expected = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == expected, path


async def test_kept_bytes_leave_nothing_in_the_scratch_folder(tmp_path: Path) -> None:
    async with open_objects(str(tmp_path)) as objects:
        await objects.keep_bytes(DATA, "a/b")
        with pytest.raises(UnavailableError):
            await objects.keep_bytes(b"other", "a/b")
        assert list((tmp_path / ".scratch").iterdir()) == []


async def test_removing_the_last_object_removes_its_folders(tmp_path: Path) -> None:
    async with open_objects(str(tmp_path)) as objects:
        await objects.keep_bytes(DATA, "audio/task/x")
        await objects.keep_bytes(DATA, "audio/other/x")
        await objects.remove("audio/task/x")
        assert sorted(path.name for path in (tmp_path / "audio").iterdir()) == ["other"]
        await objects.remove("audio/other/x")
        assert [path.name for path in tmp_path.iterdir()] == [".scratch"]


async def test_a_day_old_leftover_is_removed_and_a_younger_one_is_kept(tmp_path: Path) -> None:
    scratch = tmp_path / ".scratch"
    scratch.mkdir()
    for name, hours in (("old", 25), ("young", 23)):
        (scratch / name).write_bytes(b"x")
        then = time.time() - hours * 3600
        os.utime(scratch / name, (then, then))
    async with open_objects(str(tmp_path)):
        assert [path.name for path in scratch.iterdir()] == ["young"]


async def test_two_processes_on_one_folder_have_different_scratch_paths(tmp_path: Path) -> None:
    async with open_objects(str(tmp_path)) as one, open_objects(str(tmp_path)) as other:
        assert one.scratch() != other.scratch()


async def test_a_folder_that_cannot_be_used_says_so_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UnavailableError, match="cannot be used for artifacts"):
        async with open_objects(str(tmp_path / "file")):
            pytest.fail("it was opened")


async def test_a_planted_link_is_neither_read_nor_kept(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"secret")
    async with open_objects(str(tmp_path / "root")) as objects:
        (tmp_path / "root" / "x").symlink_to(outside)
        with pytest.raises(UnavailableError):
            await objects.read("x")
        with pytest.raises(UnavailableError):
            await streamed(objects, "x")
        with pytest.raises(UnavailableError):
            await objects.keep_bytes(b"y", "x")
        path = objects.scratch()
        path.symlink_to(outside)
        with pytest.raises(MediaInterruptedError):
            await objects.keep_file(path, "y")
    assert outside.read_bytes() == b"secret"


async def test_a_disk_that_fails_is_told_as_the_port_says(tmp_path: Path) -> None:
    async with open_objects(str(tmp_path)) as objects:
        await objects.keep_bytes(b"x", "occupied")
        # A file where a folder is needed is a fault that needs no broken disk.
        with pytest.raises(UnavailableError, match="our disk"):
            await objects.keep_bytes(b"y", "occupied/y")
        with pytest.raises(MediaInterruptedError, match="our disk"):
            await objects.keep_file(written(objects, b"y"), "occupied/y")


@pytest.mark.skipif(not OTHER_DISK.is_dir(), reason="no second disk to move a file from")
async def test_a_file_of_another_disk_is_brought_over(tmp_path: Path) -> None:
    source = OTHER_DISK / f"receiver-test-{os.getpid()}"
    source.write_bytes(DATA)
    try:
        async with open_objects(str(tmp_path)) as objects:
            await objects.keep_file(source, "audio/x")
            assert await objects.read("audio/x") == DATA
            assert not source.exists()
            assert list((tmp_path / ".scratch").iterdir()) == []
    finally:
        source.unlink(missing_ok=True)


async def test_file_and_folders_are_flushed_before_the_call_returns(tmp_path: Path) -> None:
    """Every fsync is observed, by the file it was for, in a process of its own."""
    program = (
        "import asyncio, os, sys\n"
        "flushed = []\n"
        "real = os.fsync\n"
        "def fsync(descriptor):\n"
        "    flushed.append(os.readlink(f'/proc/self/fd/{descriptor}'))\n"
        "    real(descriptor)\n"
        "os.fsync = fsync\n"
        "from receiver.storage.objects import open_objects\n"
        "async def use(root):\n"
        "    async with open_objects(root) as objects:\n"
        "        scratch = objects.scratch()\n"
        "        scratch.write_bytes(b'x')\n"
        "        flushed.clear()\n"
        "        await objects.keep_file(scratch, 'audio/task/x.mp3')\n"
        "        expected = [str(scratch), *(os.path.join(root, p) for p in ('audio/task', 'audio'))]\n"
        "        assert flushed == [*expected, root], flushed\n"
        "asyncio.run(use(sys.argv[1]))\n"
    )
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system does not tell what a descriptor is")
    root = str(tmp_path.resolve() / "root")
    subprocess.run([sys.executable, "-c", program, root], check=True, timeout=120)


# --- a folder that is away for a while ------------------------------------------------------------------------


async def test_what_is_missing_from_a_folder_that_is_away_is_not_gone(tmp_path: Path) -> None:
    async with open_objects(str(tmp_path / "artifacts")) as objects:
        await objects.keep_bytes(DATA, "reports/a")
        (tmp_path / "artifacts").rename(tmp_path / "elsewhere")
        with pytest.raises(UnavailableError, match="away"):
            await objects.read("reports/a")
        with pytest.raises(UnavailableError, match="No such file"):
            await objects.keep_bytes(DATA, "reports/b")
        # Made anew by us it would stand in the way of the old one.
        assert not (tmp_path / "artifacts").exists()
        (tmp_path / "elsewhere").rename(tmp_path / "artifacts")
        assert await objects.read("reports/a") == DATA


async def test_a_folder_that_was_made_anew_is_gone_on_with(tmp_path: Path) -> None:
    async with open_objects(str(tmp_path / "artifacts")) as objects:
        await objects.keep_bytes(DATA, "reports/a")
        shutil.rmtree(tmp_path / "artifacts")
        (tmp_path / "artifacts").mkdir()
        await objects.keep_bytes(DATA, "reports/b")
        assert await objects.read("reports/b") == DATA
        with pytest.raises(NotFoundError):
            await objects.read("reports/a")


@pytest.mark.skipif(not OTHER_DISK.is_dir(), reason="there is no second disk to be seen")
async def test_nothing_is_written_where_the_disk_of_the_folder_is_not_mounted(tmp_path: Path) -> None:
    """A link stands for the mount: beyond it the disk, and in its place an empty folder of another disk."""
    place = tmp_path / "artifacts"
    mounted = Path(tempfile.mkdtemp(dir=OTHER_DISK))
    try:
        place.symlink_to(mounted)
        async with open_objects(str(place)) as objects:
            await objects.keep_bytes(DATA, "reports/a")
            place.unlink()
            place.mkdir()
            with pytest.raises(UnavailableError):
                await objects.keep_bytes(DATA, "reports/b")
            assert list(place.iterdir()) == []
            with pytest.raises(UnavailableError, match="away"):
                await objects.read("reports/a")
    finally:
        shutil.rmtree(mounted)

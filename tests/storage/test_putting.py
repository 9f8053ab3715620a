"""A large file put into a bucket in one request: what is sent, what is tried again, what is told."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from receiver.domain.errors import UnavailableError
from receiver.storage.putting import put_file, trusting

DATA = bytes(range(256)) * 12_000


@dataclass
class Bucket:
    """Answers each request as scripted; None breaks off in the middle of the file."""

    statuses: list[int | None]
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def serve(self, caller: SocketStream) -> None:
        async with caller:
            reader = BufferedByteReceiveStream(caller)
            self.heads.append((await reader.receive_until(b"\r\n\r\n", 65536)).decode())
            status = self.statuses.pop(0)
            if status is None:
                await reader.receive_exactly(len(DATA) // 2)
                return
            self.bodies.append(await reader.receive_exactly(len(DATA)))
            await caller.send(b"HTTP/1.1 %d Said\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)


@asynccontextmanager
async def bucket(*statuses: int | None) -> AsyncIterator[tuple[Bucket, str]]:
    serving = Bucket(list(statuses))
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, serving.serve)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - of a socket, no query
        yield serving, f"http://127.0.0.1:{port}/covers/audio/x.wav?X-Amz-Signature=5ec2e7"
        group.cancel_scope.cancel()


async def put(folder: Path, link: str, *, replace: bool = False) -> bool:
    path = folder / "x.wav"
    path.write_bytes(DATA)
    return await put_file(link, path, len(DATA), trusting(), replace=replace)


async def test_the_file_goes_whole_to_the_link_as_it_is_and_never_over_another(tmp_path: Path) -> None:
    async with bucket(200, 200) as (serving, link):
        assert await put(tmp_path, link)
        assert await put(tmp_path, link, replace=True)
    assert serving.bodies == [DATA, DATA]
    assert serving.heads[0].startswith("PUT /covers/audio/x.wav?X-Amz-Signature=5ec2e7 HTTP/1.1\r\n")
    assert [f"content-length: {len(DATA)}" in head.lower() for head in serving.heads] == [True, True]
    assert ["if-none-match: *" in head.lower() for head in serving.heads] == [True, False]


async def test_that_something_lies_there_is_no_fault(tmp_path: Path) -> None:
    async with bucket(412) as (_, link):
        assert not await put(tmp_path, link)


@pytest.mark.parametrize("first", [None, 500, 503])
async def test_what_may_pass_is_tried_once_more_from_the_beginning(tmp_path: Path, first: int | None) -> None:
    async with bucket(first, 200) as (serving, link):
        assert await put(tmp_path, link)
    assert serving.bodies[-1] == DATA


@pytest.mark.parametrize(
    ("statuses", "words"), [((None, None), "Error"), ((503, 500), "500"), ((403,), "403"), ((301,), "301")]
)
async def test_what_does_not_work_is_told_without_the_link(
    tmp_path: Path, statuses: Sequence[int | None], words: str
) -> None:
    async with bucket(*statuses) as (serving, link):
        with pytest.raises(UnavailableError, match=words) as caught:
            await put(tmp_path, link)
    assert serving.statuses == []
    assert "5ec2e7" not in str(caught.value)

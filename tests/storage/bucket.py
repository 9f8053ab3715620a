"""A bucket behind a real S3 API over HTTP, in this process."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass

import httpx
from moto.server import ThreadedMotoServer

from receiver.lifecycle.ports import Objects
from receiver.storage.objects import BucketAccess, open_objects


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where the bucket is; ``url`` is that of the S3 API."""

    url: str
    name: str

    @property
    def location(self) -> str:
        return f"s3://{self.name}/music/covers"

    @property
    def access(self) -> BucketAccess:
        return BucketAccess(self.url, "eu-central-1", "tests", "a secret of the tests")

    def opened(self) -> AbstractAsyncContextManager[Objects]:
        return open_objects(self.location, self.access)

    def uploads(self) -> str:
        """The list of uploads that were begun and not ended, as XML."""
        return httpx.get(f"{self.url}/{self.name}?uploads").text

    def listed(self) -> str:
        """The list of objects, as XML."""
        return httpx.get(f"{self.url}/{self.name}?list-type=2").text


@contextmanager
def serving_s3(port: int = 0) -> Iterator[str]:
    """Serve the S3 API for the length of the block and yield its URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


def make_bucket(url: str, name: str) -> Bucket:
    """Make an empty bucket."""
    httpx.put(
        f"{url}/{name}",
        content="<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint>"
        "</CreateBucketConfiguration>",
        # The first request of a process loads what the server knows of S3.
        timeout=60,
    ).raise_for_status()
    return Bucket(url, name)

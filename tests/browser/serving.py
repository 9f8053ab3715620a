"""The pages alone, over a data folder that nobody works on."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.harness import free_port, wait_until

_HOUSE = Path(__file__).resolve().parents[2]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the pages for the length of the block, without a worker."""
    folder.chmod(0o700)
    port = free_port()
    command = [sys.executable, "-m", "tests.browser.service", str(folder), str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=_HOUSE) as service:
        try:
            wait_until(lambda: service.poll() is not None or _answers(port), 60, "the pages are served")
            yield f"http://127.0.0.1:{port}"
        finally:
            service.terminate()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False

"""What a page costs the server as tasks become many: the same pages over a few thousand tasks and over a million."""

import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from tests.bench.load import BenchError
from tests.browser.many import multiply
from tests.browser.serving import served
from tests.browser.stories import told
from tests.harness import API_KEY

#: Each is asked for so often; between two, whatever a page keeps for a moment has grown old.
_TIMES = 3
_STALE_SECONDS = 5.1
_PATHS = (
    "/",
    "/?over=week",
    "/tasks",
    "/tasks?status=failed",
    "/tasks?metadata=user%3D42",
    "/reports",
    "/reports?show=aside",
    "/deliveries",
    "/providers",
)
#: What no list looks at; without it a million tasks are made in a minute or two.
_NOT_COPIED = ("events", "attempts")


def of_many(folder: Path, tasks: int) -> Mapping[str, float]:
    """Return the milliseconds of each page over so many tasks, by its path: the median as the caller sees it."""
    scratch = folder / f"pages-{tasks}"
    with told(scratch):
        pass
    made = multiply(scratch / "data" / "receiver.db", tasks, days=365.0, leaving_out=_NOT_COPIED)
    if made < tasks:
        raise BenchError(f"{made} tasks were made instead of {tasks}")
    with served(scratch / "data") as url, httpx.Client(base_url=url, timeout=60) as http:
        headers = _signed_in(http, url)
        return {path: _milliseconds(http, path, headers) for path in _PATHS}


def _signed_in(http: httpx.Client, url: str) -> Mapping[str, str]:
    answer = http.post("/login", data={"key": API_KEY.partition(":")[2]}, headers={"Origin": url})
    cookie = answer.headers.get("set-cookie", "").partition(";")[0]
    if not cookie:
        raise BenchError(f"the pages let nobody in: {answer.status_code}")
    # The cookie is for https; a browser makes an exception for this machine, a library does not.
    return {"Cookie": cookie, "Accept": "text/html"}


def _milliseconds(http: httpx.Client, path: str, headers: Mapping[str, str]) -> float:
    took = []
    for _ in range(_TIMES):
        time.sleep(_STALE_SECONDS)
        begun = time.perf_counter()
        answer = http.get(path, headers=headers)
        took.append((time.perf_counter() - begun) * 1e3)
        if answer.status_code != httpx.codes.OK:
            raise BenchError(f"{path}: {answer.status_code}")
    return statistics.median(took)

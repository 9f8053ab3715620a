"""Pictures of every page, in every state, for people to judge: `make screenshots`.

All go to build/screenshots; those that README shows are kept in infra/pictures.
"""

import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import Browser

from tests.browser.chromium import NARROW, WIDE, Colours, Visitor, find, opened, violations, visiting
from tests.browser.many import multiply
from tests.browser.serving import served
from tests.browser.stories import told
from tests.harness import API_KEY

HOUSE = Path(__file__).resolve().parents[2]
BUILD, KEPT = HOUSE / "build" / "screenshots", HOUSE / "infra" / "pictures"
_MANY = 10_000
_SECRET = API_KEY.partition(":")[2]
#: Each page by its name: where it is, or on which page its first link of a kind is.
PAGES = {
    "login": "/login",
    "overview": "/",
    "overview-week": "/?over=week",
    "tasks": "/tasks",
    "tasks-failed": "/tasks?status=failed",
    "callbacks": "/reports",
    "callbacks-aside": "/reports?show=aside",
    "deliveries": "/deliveries",
    "deliveries-dead": "/deliveries?show=dead",
    "endpoint-add": "/deliveries/endpoints",
    "providers": "/providers",
    "find": "/find?q=nothing-of-this-name",
    "missing": "/nowhere",
}
LINKED: Mapping[str, tuple[str, ...]] = {
    "task": ("/tasks?status=succeeded", 'main a[href*="/tasks/"]'),
    "task-failed": ("/tasks?status=failed", 'main a[href*="/tasks/"]'),
    "task-under-way": ("/tasks?status=collecting", 'main a[href*="/tasks/"]'),
    "task-unknown": ("/tasks?status=unknown", 'main a[href*="/tasks/"]'),
    "attempt": ("/tasks?status=failed", 'main a[href*="/tasks/"]', 'main a[href*="/attempts/"]'),
    "cancel": ("/tasks?status=submitted", 'main a[href*="/tasks/"]', 'main a[href$="/cancel"]'),
    "again": ("/tasks?status=failed", 'main a[href*="/tasks/"]', 'main a[href$="/again"]'),
    "callback": ("/reports?show=aside", 'main a[href*="/reports/"]'),
}
#: What README shows: a page in the state with many tasks, as the window shows it.
IN_README = {
    "overview-week": "dashboard-overview.png",
    "task": "dashboard-task.png",
}
#: With --readme those alone are drawn.
_FOR_README: tuple[tuple[Colours, tuple[int, int]], ...] = (("light", WIDE),)
_LOOKS: tuple[tuple[Colours, tuple[int, int]], ...] = (
    ("light", WIDE),
    ("dark", WIDE),
    ("light", NARROW),
    ("dark", NARROW),
)


def main() -> int:
    """Draw everything; exit 1 when a page is wrong in a way that a machine can see."""
    path = find()
    if path is None:
        print("no browser is installed: Debian's chromium, or name one in RECEIVER_TEST_CHROMIUM", file=sys.stderr)
        return 2
    for_readme = "--readme" in sys.argv
    shutil.rmtree(BUILD, ignore_errors=True)
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="receiver-screenshots-") as scratch, opened(path) as browser:
        for state, folder in _states(Path(scratch)):
            if for_readme and state != "full":
                continue
            with served(folder) as url:
                if state == "failing":
                    _knock(url)
                for colours, size in _FOR_README if for_readme else _LOOKS:
                    wrong += _draw(browser, url, state, colours, size, IN_README if for_readme else None)
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"drawn: {BUILD}")
    return 1 if wrong else 0


def _states(scratch: Path) -> Iterator[tuple[str, Path]]:
    """Yield each state with a data folder that is in it."""
    with told(scratch / "told"):
        pass
    few = scratch / "told" / "data"
    (scratch / "empty").mkdir()
    yield "empty", scratch / "empty"
    many = scratch / "many"
    shutil.copytree(few, many)
    multiply(many / "receiver.db", _MANY)
    yield "full", many
    _rest_on(few / "receiver.db")
    yield "failing", few


def _rest_on(database: Path) -> None:
    """Let the provider that takes nothing from us go on taking nothing."""
    with closing(sqlite3.connect(database)) as connection:
        until = datetime.now(UTC) + timedelta(minutes=20)
        connection.execute("UPDATE provider_pauses SET until = ?", (round(until.timestamp() * 1e6),))
        connection.commit()


def _knock(url: str) -> None:
    for path in ("", "/nobody/x", "/runware/cut-off", f"/runware/{'A' * 70}", f"/aimlapi/{'B' * 70}"):
        httpx.post(f"{url}/callbacks{path}", content=b"{}")


def _draw(
    browser: Browser,
    url: str,
    state: str,
    colours: Colours,
    size: tuple[int, int],
    only: Collection[str] | None = None,
) -> list[str]:
    wrong = []
    with visiting(browser, url, colours=colours, size=size) as visitor:
        visitor.expected = ("/",)
        visitor.go("/login")
        wrong += _shot(visitor, state, "login", colours, size)
        visitor.sign_in(_SECRET)
        for name, path in PAGES.items():
            if name != "login" and (only is None or name in only):
                visitor.go(path)
                wrong += _shot(visitor, state, name, colours, size)
        for name, (path, *links) in LINKED.items():
            if only is not None and name not in only:
                continue
            if _follow(visitor, path, links):
                wrong += _shot(visitor, state, name, colours, size)
    return wrong


def _follow(visitor: Visitor, path: str, links: Sequence[str]) -> bool:
    """Go from a page to the first of each kind of link; False where there is none."""
    visitor.go(path)
    for link in links:
        found = visitor.page.locator(link)
        if not found.count():
            return False
        visitor.go(urlsplit(str(found.first.get_attribute("href"))).path)
    return True


def _shot(visitor: Visitor, state: str, name: str, colours: Colours, size: tuple[int, int]) -> list[str]:
    folder = BUILD / state
    folder.mkdir(parents=True, exist_ok=True)
    shown = f"{name}-{colours}-{size[0]}"
    visitor.page.screenshot(path=folder / f"{shown}.png", full_page=True)
    if state == "full" and colours == "light" and size == WIDE and name in IN_README:
        visitor.page.screenshot(path=KEPT / IN_README[name])
    found, visitor.faults = [*violations(visitor.page), *visitor.faults], []
    beyond = visitor.width_beyond()
    print(f"{state}: {shown}", flush=True)
    return [f"{state}/{shown}: {line}" for line in [*found, *([f"{beyond} px too wide"] if beyond else [])]]


if __name__ == "__main__":
    sys.exit(main())

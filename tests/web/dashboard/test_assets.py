import gzip
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx

from receiver.web.dashboard import assets
from tests.web.dashboard.browsing import Browser, browsing
from tests.web.fakes import World

HOUSE = Path(__file__).resolve().parents[3]
PAGES = HOUSE / "receiver" / "web" / "dashboard"
VENDOR = PAGES / "static" / "vendor"


def test_what_others_wrote_is_unchanged_and_has_its_licence() -> None:
    listed = dict(line.split()[::-1] for line in (VENDOR / "SHA256SUMS").read_text().splitlines())
    theirs = {path.name for path in VENDOR.iterdir()} - {"SHA256SUMS"}
    licences = {name for name in theirs if name.endswith(".LICENSE")}
    assert {name: hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() for name in theirs - licences} == listed
    assert {name.partition("-")[0] for name in listed} == {name.removesuffix(".LICENSE") for name in licences}


async def test_a_file_is_kept_for_good_under_a_name_that_changes_with_it(world: World) -> None:
    async with browsing(world) as browser:
        for name, asset in assets.assets().items():
            answer = await browser.get(assets.address(name))
            assert (answer.status_code, answer.content) == (200, asset.data)
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert answer.headers["content-encoding"] == "gzip"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert name.partition(".")[0] in asset.name
        plain = await browser.http.get(assets.address("app.css"), headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == (PAGES / "static" / "app.css").read_bytes()
        for name in ("app.css", "app.0000000000000000.css", "..%2fpages.py", "SHA256SUMS"):
            assert (await browser.get(f"/static/{name}")).status_code == 404


async def test_pages_name_files_that_there_are(browser: Browser) -> None:
    page = await browser.page("/")
    named = [each.attributes["href"] for each in page.find("link")] + [
        each.attributes["src"] for each in page.find("script")
    ]
    answers: list[httpx.Response] = [await browser.get(name) for name in named]
    assert [answer.status_code for answer in answers] == [200] * len(named)


def test_the_packed_form_is_the_same_file() -> None:
    assert all(gzip.decompress(asset.packed) == asset.data for asset in assets.assets().values())


def test_the_wheel_holds_every_file_of_the_pages(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=HOUSE, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = {path for path in PAGES.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {path.relative_to(HOUSE).as_posix() for path in wanted} - held == set()

"""`receiver doctor` beside a running service: what is well, and each thing that can be wrong, with what mends it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from tests.cli.conftest import Said
from tests.harness import Stack, running

Typed = Callable[..., Said]
#: Small, so that the largest body that is tried is sent in a moment.
_LARGEST_CALLBACK = 2 * 1024 * 1024
NAMES = [
    "settings",
    "data folder",
    "API keys",
    "signing keys",
    "database",
    "durability",
    "disk",
    "audio store",
    "service",
    "public URL",
    "callback size",
    "runware",
    "aimlapi",
    "clock",
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {"RECEIVER_MAX_CALLBACK_BYTES": str(_LARGEST_CALLBACK)}
    with running(tmp_path_factory.mktemp("doctor"), settings=settings) as started:
        yield started


@dataclass(frozen=True)
class Examined:
    """What doctor found, by name."""

    code: int
    fit: bool
    checks: Mapping[str, dict[str, Any]]

    def levels(self, level: str) -> list[str]:
        return [name for name, check in self.checks.items() if check["level"] == level]


Doctor = Callable[..., Examined]


@pytest.fixture
def doctor(receiver: Typed, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Examine the installation of a stack, with some settings changed (None: not set)."""

    def examine(stack: Stack, **settings: str | None) -> Examined:
        for name, value in {**stack.service.environment, **settings}.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        said = receiver("doctor", "--url", stack.service.url, "--json")
        assert said.err == "", said.err
        document = json.loads(said.out)
        told = [check for check in document["checks"] if check["level"] in {"failed", "warning"}]
        assert [check for check in told if not check["mend"]] == []
        return Examined(said.code, document["fit"], {check["name"]: check for check in document["checks"]})

    return examine


def test_a_good_installation_is_fit_beside_its_running_service(stack: Stack, doctor: Doctor) -> None:
    before = sorted(str(path) for path in Path(stack.folder, "data").rglob("*") if "artifacts" not in path.parts)
    found = doctor(stack)
    assert (found.code, found.fit) == (0, True), found
    assert list(found.checks) == NAMES
    # A memory file system commits faster than any disk, and a machine under load slower: both are a warning.
    assert set(NAMES) - {"durability"} <= set(found.levels("ok")), found
    assert found.levels("failed") == []
    assert str(_pid(stack)) in found.checks["service"]["message"]
    assert found.checks["callback size"]["message"] == "2 MiB passed; up to 2 MiB are taken"
    after = sorted(str(path) for path in Path(stack.folder, "data").rglob("*") if "artifacts" not in path.parts)
    assert after == before
    # It went past the callback door: nothing was taken for a callback.
    assert stack.all_events() == []


def test_a_person_reads_one_line_for_each_with_what_mends_it(
    stack: Stack, receiver: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in stack.service.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RUNWARE_API_KEY", "invalid")
    monkeypatch.delenv("RECEIVER_PUBLIC_URL")
    said = receiver("doctor", "--url", stack.service.url)
    assert said.code == 1
    assert said.err == ""
    lines = said.out.splitlines()
    [failure] = [line for line in lines if line.startswith("FAIL")]
    assert failure.startswith("FAIL  runware        does not take the key: Invalid API key.")
    assert f"{' ' * 21}→ correct RUNWARE_API_KEY, for the service too" in lines
    assert lines[-1].startswith("not fit: 1 failed, ")
    assert "invalid\n" not in said.out


def test_a_key_that_a_provider_does_not_take_is_a_failure(stack: Stack, doctor: Doctor) -> None:
    found = doctor(stack, RUNWARE_API_KEY="invalid", AIMLAPI_API_KEY="invalid")
    assert (found.code, found.levels("failed")) == (1, ["runware", "aimlapi"])
    assert found.checks["aimlapi"]["mend"] == "correct AIMLAPI_API_KEY, for the service too"


class Echo(BaseHTTPRequestHandler):
    """Refuses a key and repeats it, as some providers do."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        key = self.headers["authorization"].removeprefix("Bearer ")
        error = {"code": "invalidApiKey", "message": f"Incorrect API key: {key}", "taskType": "authentication"}
        body = json.dumps({"errors": [error]}).encode()
        self.send_response(401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has in the base class
        return


def test_a_key_that_its_provider_repeats_is_not_shown(stack: Stack, doctor: Doctor) -> None:
    with serving(Echo) as url:
        settings = {"RECEIVER_RUNWARE_URL": f"{url}/v1", "RECEIVER_ALLOWED_PRIVATE_HOSTS": "127.0.0.0/8"}
        found = doctor(stack, RUNWARE_API_KEY="rw-0123456789abcdef", **settings)
    assert found.levels("failed") == ["runware"]
    assert "Incorrect API key: [redacted]" in found.checks["runware"]["message"]


class Bank(BaseHTTPRequestHandler):
    """Both providers, which take every key and tell what money is left."""

    dollars = 0.0
    credits_left = 0

    def do_POST(self) -> None:
        [task] = json.loads(self.rfile.read(int(self.headers["content-length"])))
        of_account = task["taskType"] == "accountManagement"
        item = {"taskType": task["taskType"], "taskUUID": task["taskUUID"], "status": "processing"}
        self._answer({"data": [{**item, "balance": self.dollars} if of_account else item]})

    def do_GET(self) -> None:
        of_account = self.path == "/v1/billing/balance"
        self._answer({"balance": self.credits_left, "lowBalance": False} if of_account else {"data": []})

    def _answer(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has in the base class
        return


@pytest.mark.parametrize(
    ("dollars", "left", "level"),
    [(126.95, "$126.95", "ok"), (1.5, "$1.50", "warning"), (0.0, "$0.00", "failed"), (-3.0, "-$3.00", "failed")],
)
def test_what_money_is_left_is_told_and_judged(
    stack: Stack, doctor: Doctor, dollars: float, left: str, level: str
) -> None:
    bank = type("Handler", (Bank,), {"dollars": dollars, "credits_left": int(dollars * 2_000_000)})
    with serving(bank) as url:
        found = doctor(
            stack,
            RECEIVER_RUNWARE_URL=f"{url}/v1",
            RECEIVER_AIMLAPI_URL=url,
            RECEIVER_ALLOWED_PRIVATE_HOSTS="127.0.0.0/8",
        )
    for provider in ("runware", "aimlapi"):
        assert found.checks[provider]["message"] == f"takes the key; {left} left"
        assert found.checks[provider]["level"] == level


def test_without_any_key_it_is_not_fit(stack: Stack, doctor: Doctor) -> None:
    found = doctor(stack, RUNWARE_API_KEY=None, AIMLAPI_API_KEY=None)
    assert found.levels("failed") == ["runware", "aimlapi"]
    # The service beside it has its own.
    shell = f"these are the settings of this shell, not those of process {_pid(stack)}"
    assert found.checks["runware"]["mend"] == f"set RUNWARE_API_KEY; one of the providers is enough; {shell}"


def test_what_mends_a_provider_that_cannot_be_asked_depends_on_who_kept_it(stack: Stack, doctor: Doctor) -> None:
    found = doctor(
        stack,
        RECEIVER_RUNWARE_URL="http://10.1.2.3:9",
        RECEIVER_AIMLAPI_URL="http://127.0.0.1:9",
        RECEIVER_ALLOWED_PRIVATE_HOSTS="127.0.0.1",
    )
    allow = "correct RECEIVER_RUNWARE_URL, or name its host in RECEIVER_ALLOWED_PRIVATE_HOSTS"
    assert found.checks["runware"]["mend"] == allow
    away = "try again; if it stays, see that this machine may call it, and RECEIVER_AIMLAPI_URL"
    assert found.checks["aimlapi"]["mend"] == away


def test_a_public_url_behind_which_nobody_listens_is_not_blamed_on_its_paths(stack: Stack, doctor: Doctor) -> None:
    found = doctor(stack, **through("http://127.0.0.1:9"))
    assert found.levels("failed") == ["public URL"]
    assert found.checks["public URL"]["mend"].startswith("see that its name leads to your proxy or tunnel")


def test_a_database_that_is_gone_is_a_failure(receiver: Typed, folder: Path) -> None:
    (folder / "var").mkdir(mode=0o700)
    (folder / "var" / "receiver.db.lock").touch()
    said = receiver("doctor")
    assert said.code == 1
    assert f"FAIL  database       {folder}/var/receiver.db is gone, although receiver.db.lock" in said.out


def test_a_file_that_is_no_database_is_a_failure(receiver: Typed, folder: Path) -> None:
    (folder / "var").mkdir(mode=0o700)
    (folder / "var" / "receiver.db").write_bytes(b"no database" * 1000)
    (folder / "var" / "receiver.db").chmod(0o600)
    said = receiver("doctor")
    assert said.code == 1
    assert "FAIL  database" in said.out
    assert "file is not a database" in said.out


def test_a_provider_that_is_away_or_without_a_key_is_told_as_such(stack: Stack, doctor: Doctor) -> None:
    found = doctor(stack, RUNWARE_API_KEY=None, RECEIVER_AIMLAPI_URL="http://127.0.0.1:9")
    assert found.levels("failed") == ["aimlapi"]
    assert found.checks["runware"]["level"] == "warning"
    assert found.checks["aimlapi"]["message"].startswith("gave no answer: 127.0.0.1")
    assert found.checks["clock"]["level"] == "skipped"


def test_without_a_public_url_it_is_fit_and_polls(stack: Stack, doctor: Doctor) -> None:
    found = doctor(stack, RECEIVER_PUBLIC_URL=None)
    assert (found.code, found.fit) == (0, True)
    assert found.checks["public URL"]["level"] == "warning"
    assert (
        "RECEIVER_PUBLIC_URL is not set: Runware tasks carry no webhookURL" in found.checks["public URL"]["message"]
    )


class Proxy(BaseHTTPRequestHandler):
    """Passes what is posted on to a service, up to a size; beyond it, it refuses, as proxies do."""

    protocol_version = "HTTP/1.1"
    target = ""
    most = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if len(body) > self.most:
            self._answer(413, b"<html>Request Entity Too Large</html>")
            return
        path = self.path.removeprefix("/hooks")
        answer = httpx.post(f"{self.target}{path}", content=body, trust_env=False, timeout=120)
        self._answer(answer.status_code, answer.content)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has in the base class
        return


@contextmanager
def proxy(target: str, most: int) -> Iterator[str]:
    with serving(type("Handler", (Proxy,), {"target": target, "most": most})) as url:
        yield url


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def through(url: str) -> dict[str, str]:
    """The settings of an installation behind a proxy on this machine."""
    return {"RECEIVER_PUBLIC_URL": url, "RECEIVER_ALLOWED_PRIVATE_HOSTS": "127.0.0.0/8"}


def test_a_proxy_that_strips_its_own_path_leads_here(stack: Stack, doctor: Doctor) -> None:
    with proxy(stack.service.url, most=_LARGEST_CALLBACK) as url:
        found = doctor(stack, **through(f"{url}/hooks"))
    assert found.fit, found


def test_a_proxy_that_cuts_bodies_is_a_failure_that_names_both_sizes(stack: Stack, doctor: Doctor) -> None:
    with proxy(stack.service.url, most=1024 * 1024) as url:
        found = doctor(stack, **through(url))
    assert found.levels("failed") == ["callback size"]
    assert found.checks["callback size"]["message"].startswith("1 MiB passed, 2 MiB did not: too large for something")
    assert "limit for bodies to 2 MiB" in found.checks["callback size"]["mend"]


def test_a_public_url_that_leads_elsewhere_is_a_failure(stack: Stack, doctor: Doctor) -> None:
    found = doctor(stack, **through(stack.sandbox.url))
    assert found.levels("failed") == ["public URL"]
    message = f"{stack.sandbox.url} does not end in this installation: whoever answers there does not know this"
    assert found.checks["public URL"]["message"].startswith(message)
    assert found.checks["public URL"]["mend"].startswith("let the proxy pass POST /callbacks/")
    assert found.checks["callback size"]["level"] == "skipped"


def test_another_installation_with_the_same_address_is_not_taken_for_this_one(
    stack: Stack, doctor: Doctor, folder: Path
) -> None:
    with running(folder / "other") as other:
        found = doctor(stack, **through(other.service.url))
    assert found.levels("failed") == ["public URL"]


class Parrot(Proxy):
    """Says yes to everything, with the very token that it was asked with."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._answer(200, json.dumps({"answer": self.path.rpartition("/")[2], "bytes": 0}).encode())


def test_who_answers_yes_to_everything_is_not_taken_for_this_installation(stack: Stack, doctor: Doctor) -> None:
    with serving(Parrot) as url:
        found = doctor(stack, **through(url))
    assert found.levels("failed") == ["public URL"]
    assert "another answers there" in found.checks["public URL"]["message"]


def test_a_short_key_and_a_file_that_others_may_read_are_failures(stack: Stack, doctor: Doctor, folder: Path) -> None:
    data = Path(stack.service.environment["RECEIVER_DATA_DIR"])
    signing = data / "signing_keys"
    signing.chmod(0o644)
    try:
        found = doctor(stack, RECEIVER_API_KEYS="a:0123456789abcdef0123456789abcdef,b:short")
    finally:
        signing.chmod(0o600)
    assert found.levels("failed") == ["API keys", "signing keys"]
    assert found.checks["API keys"]["message"] == "RECEIVER_API_KEYS: key 2 has fewer than 32 characters"
    assert "chmod 600" in found.checks["signing keys"]["message"]


def test_a_setting_that_is_none_is_the_only_thing_said(receiver: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEIVER_PUBLIC_URI", "https://x.example")
    said = receiver("doctor")
    assert said.code == 1
    assert "FAIL  settings       RECEIVER_PUBLIC_URI (environment) is no setting; did you mean" in said.out


def test_before_the_first_start_it_says_what_the_first_start_makes(receiver: Typed, folder: Path) -> None:
    said = receiver("doctor", "--json")
    document = json.loads(said.out)
    assert said.code == 1
    failed = [check["name"] for check in document["checks"] if check["level"] == "failed"]
    assert failed == ["service", "runware", "aimlapi"]
    assert list(folder.iterdir()) == []


def test_a_folder_that_may_not_be_written_is_a_failure(folder: Path) -> None:
    data = folder / "data"
    data.mkdir(mode=0o555)
    command = [sys.executable, "-m", "receiver", "doctor", "--data-dir", str(data), "--json"]
    if os.geteuid() == 0:
        # Nothing is closed to root unless it gives that right up.
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 1, said.stderr
    checks = {check["name"]: check for check in json.loads(said.stdout)["checks"]}
    assert "cannot be read and written by this user" in checks["data folder"]["message"]
    assert checks["durability"]["level"] == "failed"
    assert checks["audio store"]["level"] == "failed"


def test_a_service_that_was_killed_is_said_to_be_gone_with_how_to_start_it(folder: Path, doctor: Doctor) -> None:
    with running(folder / "stack") as stack:
        os.kill(_pid(stack), signal.SIGKILL)
        assert stack.service.child is not None
        stack.service.child.wait()
        found = doctor(stack)
    assert found.levels("failed") == ["service"]
    assert found.checks["service"]["mend"] == "start `receiver serve`"
    assert found.checks["public URL"]["message"].endswith("without a running service it cannot be tried")
    assert found.checks["database"]["level"] == "ok"


def _pid(stack: Stack) -> int:
    assert stack.service.child is not None
    return stack.service.child.pid

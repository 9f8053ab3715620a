"""Secrets with names of their own are put into everything, and then everything that came out is searched for them."""

import base64
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest

from tests.flows.echo import Echo, echoing
from tests.harness import API_KEY, PROMPT, REFERENCE, Stack, basic, running, wait_until

#: Short enough for a word that is shown, so that no mask of long words hides what redaction should.
RUNWARE_KEY, AIMLAPI_KEY = "canary-runware-key-4711", "canary.aimlapi.key.4711"
SECOND_KEY = "canary-of-the-second-caller-0123456789"
SIGNING_KEY = base64.b64encode(b"canary of the signing key, 32 by").decode()
#: As a base64 text it is long enough to be taken for audio.
INLINE_AUDIO = base64.b64encode(b"ID3 canary in inline audio " * 30).decode()
TYPED_KEY = "canary-typed-on-the-command-line-0123456789"
#: Of endpoints: the one of the settings, one given to the API, one that is refused.
CONFIGURED, GIVEN = (base64.b64encode(b"canary of an endpoint " + name).decode() for name in (b"set", b"given"))
REFUSED = "canary-of-an-endpoint-secret-refused"
SECRETS = {
    "the secret of the configured endpoint": CONFIGURED,
    "its key": "canary of an endpoint set",
    "the secret of an endpoint": GIVEN,
    "the key of an endpoint": "canary of an endpoint given",
    "a secret that was refused": REFUSED,
    "the key for Runware": RUNWARE_KEY,
    "the key for AIMLAPI": AIMLAPI_KEY,
    "the first API key": API_KEY.partition(":")[2],
    "the second API key": SECOND_KEY,
    "a signing key": SIGNING_KEY,
    "a wrong bearer": "canary-of-a-wrong-bearer-0123456789",
    "a wrong callback token": "canary-of-a-wrong-token",
    "an idempotency key": "canary-of-an-idempotency-key",
    "the query of an upload link": "canary-of-an-upload-link",
    "a password in an upload link": "canary-of-a-password",
    "inline audio": INLINE_AUDIO[40:80],
    "a key that was typed": TYPED_KEY,
    "the body of a callback while the store was down": "canary-of-a-body-that-was-not-stored",
}
TOKEN = re.compile(r"AQ[E-T][A-Za-z0-9_-]{67}")
DATABASE = f"postgresql://user:{TYPED_KEY}@db.internal/x"
UPLOAD = "https://user:canary-of-a-password@bucket.example.org/a.mp3?signature=canary-of-an-upload-link"


@dataclass
class Outcome:
    """Everything that came out, by the name of where."""

    texts: dict[str, str] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)

    def add(self, name: str, text: str) -> None:
        self.texts[f"{len(self.texts)} {name}"] = text


def spellings(secret: str) -> set[str]:
    return {secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("=")}


#: Types one command after the other in one process: starting forty would take a minute.
TYPIST = """
import json, os, sys
from receiver.cli.application import run
settings = dict(os.environ)
for number, (arguments, environment) in enumerate(json.load(sys.stdin)):
    print(f"{sys.argv[1]} {number}", flush=True)
    os.environ.clear()
    os.environ.update({**settings, **environment})
    run(arguments)
"""


def typed(stack: Stack, commands: list[tuple[tuple[str, ...], dict[str, str]]]) -> list[str]:
    """What each command says, on either stream, in the environment of the service and what is given besides."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RECEIVER_")}
    mark = "next-command"
    done = subprocess.run(
        [sys.executable, "-c", TYPIST, mark],
        env={**clean, **stack.service.environment, "RECEIVER_URL": stack.service.url, "PYTHONUNBUFFERED": "1"},
        cwd=stack.folder,
        input=json.dumps(commands).encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
        check=False,
    )
    said = re.split(rf"{mark} \d+\n", done.stdout.decode())[1:]
    assert len(said) == len(commands), done.stdout.decode()[-2000:]
    return said


def ask(stack: Stack, into: Outcome, method: str, path: str, **how: Any) -> httpx.Response:  # noqa: ANN401 - httpx's
    """Ask the service as its user does and keep the whole answer, head and all."""
    headers = {"Authorization": f"Bearer {SECOND_KEY}", **how.pop("headers", {})}
    answer = stack.http.request(method, stack.service.url + path, headers=headers, **how)
    kept = answer.text if answer.headers.get("content-type", "").startswith(("application/", "text/")) else ""
    into.add(f"{method} {path[:60]}", f"{dict(answer.headers)} {without_links(kept)}")
    return answer


def without_links(text: str) -> str:
    """Return an answer without what a task shows on purpose: its provider's links and ours to its audio."""
    try:
        document = json.loads(text)
    except ValueError:
        return text
    return json.dumps(_without_links(document), ensure_ascii=False)


def _without_links(value: object) -> object:
    if isinstance(value, list):
        return [_without_links(item) for item in value]
    if not isinstance(value, dict):
        return value
    is_result = {"download_url", "provider_result_id", "artifact"} <= value.keys()
    hidden = {"url", "download_url"} if is_result else set()
    return {name: _without_links(item) for name, item in value.items() if name not in hidden}


def submit(stack: Stack, into: Outcome, provider: str, **fields: object) -> str:
    body = {**basic(provider), **fields}
    headers = {"Idempotency-Key": f"canary-of-an-idempotency-key-{len(into.texts)}"}
    answer = ask(stack, into, "POST", "/v1/tasks", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    task_id: str = answer.json()["id"]
    return task_id


def put_up_with_faults(stack: Stack, into: Outcome) -> None:
    """Tasks of every kind while the providers misbehave, requests that are refused, and a kill in between."""
    stack.faults(duplicate=0.5, malformed=0.4, fail=0.3, http_5xx=0.3, lose_submit_answer=0.2, extra_fields=True)
    for _ in range(3):
        submit(stack, into, "runware", count=2, upload_endpoint=UPLOAD.replace("user:canary-of-a-password@", ""))
        submit(stack, into, "aimlapi")
    submit(stack, into, "aimlapi", reference_audio=f"data:audio/mpeg;base64,{INLINE_AUDIO}")
    submit(stack, into, "runware", output_type="base64Data")
    refused: list[dict[str, object]] = [
        {"upload_endpoint": UPLOAD},
        {"reference_audio": INLINE_AUDIO + "!"},
        {"provider_options": {"webhookURL": UPLOAD}, "count": "x"},
        {"output_type": "dataURI", "ttl_seconds": 60, "upload_endpoint": UPLOAD},
    ]
    for fields in refused:
        answer = ask(stack, into, "POST", "/v1/tasks", json={"provider": "runware", "prompt": PROMPT, **fields})
        assert answer.status_code == 422
    ask(stack, into, "POST", "/v1/tasks", content=b'{"prompt": "canary-of-an-upload-link')
    wrong = {"Authorization": "Bearer canary-of-a-wrong-bearer-0123456789"}
    assert ask(stack, into, "GET", "/v1/tasks", headers=wrong).status_code == 401
    for path in (
        "/callbacks/runware/canary-of-a-wrong-token",
        "/inputs/canary-of-a-wrong-token",
        "/canary-of-a-wrong-token",
    ):
        for method in ("GET", "POST", "PUT"):
            assert ask(stack, into, method, path).status_code in {401, 404, 405}
    stack.service.kill()
    stack.service.start()
    stack.faults()
    stack.wait_for_all()


def tell_endpoints(stack: Stack, into: Outcome) -> None:
    """An endpoint with a secret of its own, which is said in that one answer; everything that shows it afterwards."""
    url = f"{stack.service.url}/hooks-of-the-application"
    made = stack.http.post(
        f"{stack.service.url}/v1/endpoints",
        headers={"Authorization": f"Bearer {SECOND_KEY}"},
        json={"url": url, "secret": f"whsec_{GIVEN}"},
    )
    assert made.json()["secret"] == f"whsec_{GIVEN}"
    path = f"/v1/endpoints/{made.json()['id']}"
    taken = {"url": url, "secret": f"whsec_{GIVEN}"}
    assert ask(stack, into, "POST", "/v1/endpoints", json=taken).status_code == 409
    refused = {"url": f"{url}/2", "secret": REFUSED}
    assert ask(stack, into, "POST", "/v1/endpoints", json=refused).status_code == 422
    stack.wait_for(submit(stack, into, "runware"))
    # To both, and to be tried again: nobody listens at the one, the other knows no such path.
    wait_until(
        lambda: (
            len({one["endpoint_id"] for one in stack.get("/v1/deliveries").json()["data"] if one["attempts"]}) == 2
        ),
        60,
        "both were told",
    )
    for shown in (path, "/v1/endpoints", "/v1/deliveries"):
        assert ask(stack, into, "GET", shown).status_code == 200


def with_the_store_down(stack: Stack, into: Outcome) -> None:
    """Somebody holds the database: nothing can be written, and everybody is told to come again."""
    url = callback_urls(stack)[0]
    with sqlite3.connect(stack.folder / "data" / "receiver.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        headers = {"Idempotency-Key": "canary-of-an-idempotency-key"}
        upload = {**basic("runware"), "upload_endpoint": "https://bucket.example.org/?s=canary-of-an-upload-link"}
        inline = {**basic("aimlapi"), "reference_audio": f"data:audio/mpeg;base64,{INLINE_AUDIO}"}
        content = b"canary-of-a-body-that-was-not-stored"
        # Together: each waits some seconds for the database before it gives up.
        with ThreadPoolExecutor() as callers:
            answers = [
                callers.submit(ask, stack, into, "POST", "/v1/tasks", json=upload, headers=headers),
                callers.submit(ask, stack, into, "POST", "/v1/tasks", json=inline, headers=headers),
                callers.submit(ask, stack, into, "POST", urlsplit(url).path, content=content),
            ]
        assert [answer.result().status_code for answer in answers] == [503, 503, 503]
        other.execute("ROLLBACK")


def put_up_with_an_echo(stack: Stack, into: Outcome, echo: Echo) -> None:
    """The providers are replaced by one that repeats every secret it hears, to us and to the callback URL."""
    stack.service.stop()
    stack.service.environment = {
        **stack.service.environment,
        "RECEIVER_RUNWARE_URL": f"{echo.url}/runware",
        "RECEIVER_AIMLAPI_URL": f"{echo.url}/aimlapi",
        "RECEIVER_REFUSAL_SECONDS": "0.2",
    }
    stack.service.start()
    tasks = [submit(stack, into, "runware", upload_endpoint=f"{echo.url}/?s=canary-of-an-upload-link")]
    tasks += [submit(stack, into, "aimlapi")]
    wait_until(lambda: len(echo.called_back) >= 8, 30, "the provider has called back")
    assert set(echo.called_back) == {200}
    for task_id in tasks:
        stack.wait_for(task_id)
    echo.refusing = True
    waiting = [submit(stack, into, name) for name in ("runware", "aimlapi")]
    wait_until(lambda: stack.service.words().count("provider_paused") >= 2, 30, "both providers rest")
    for task_id in waiting:
        ask(stack, into, "POST", f"/v1/tasks/{task_id}/refresh")
        ask(stack, into, "POST", f"/v1/tasks/{task_id}/cancel")
    into.tokens |= {token for heard in echo.heard for token in TOKEN.findall(heard)}
    assert into.tokens
    for known in (RUNWARE_KEY, AIMLAPI_KEY, "callbacks/runware/AQ", "canary-of-an-upload-link"):
        assert any(known in heard for heard in echo.heard), f"the provider never heard {known}: nothing to repeat"


def callback_urls(stack: Stack) -> list[str]:
    return [entry["webhook_url"] for entry in stack.ledger() if entry["webhook_url"]]


def read_everything(stack: Stack, into: Outcome) -> None:
    """Every route that shows something, for every task."""
    for path in ("/metrics", "/healthz", "/readyz", "/openapi.json", "/docs", "/v1/tasks?limit=200", "/v1/nothing"):
        ask(stack, into, "GET", path)
    ask(stack, into, "GET", "/v1/events?limit=1000")
    ask(stack, into, "GET", "/v1/stats")
    for task in stack.tasks():
        path = f"/v1/tasks/{task['id']}"
        for room in ("", "/events", "/reports"):
            ask(stack, into, "GET", path + room)
        for report in stack.get(f"{path}/reports").json()["data"]:
            raw = stack.get(f"/v1/reports/{report['id']}/raw")
            # A provider's links are the user's to see; what else it repeats of ours is not.
            into.add(f"raw {report['id']}", raw.content.decode("utf-8", "replace"))
    ask(stack, into, "POST", "/v1/replay", json={"provider": "runware", "apply": False})


def type_everything(stack: Stack, into: Outcome) -> None:
    """Every command, so that it works, fails and is misunderstood."""
    tasks = [task["id"] for task in stack.tasks()]
    keyed = {"RECEIVER_API_KEY": SECOND_KEY}
    asked: list[tuple[tuple[str, ...], dict[str, str]]] = [
        (("tasks",), keyed),
        (("tasks", "--limit", "200", "--json"), keyed),
        *((("task", task_id), keyed) for task_id in tasks),
        *((("task", task_id, "--json"), keyed) for task_id in tasks),
        (("cancel", tasks[-1]), keyed),
        (("refresh", tasks[-1]), keyed),
        (("submit", "runware", "--prompt", PROMPT, "--audio", REFERENCE, "--upload-endpoint", UPLOAD), keyed),
        (("settings",), keyed),
        (("settings", "--json"), keyed),
        (("migrate",), keyed),
        (("keys", "rotate"), keyed),
        (("serve", "--port", "0"), keyed),
        (("tasks", "--api-key", TYPED_KEY), {}),
        (("tasks", "--api-key", TYPED_KEY + "\n"), {}),
        (("tasks", "--api-key", TYPED_KEY, "--url", "http://127.0.0.1:9"), {}),
        (("tasks", "--api-key", TYPED_KEY, "--url", "http://example.org"), {}),
        (("tasks", "--api-kye", TYPED_KEY[:0]), keyed),
        *(
            ((*name.split(), "--help"), keyed)
            for name in ("", "serve", "submit", "task", "settings", "sandbox", "demo")
        ),
        (("serve", "--port", "0"), {"RECEIVER_SIGNING_KEYS": f"k:{SIGNING_KEY}!"}),
        (("serve", "--port", "0"), {"RECEIVER_NOTIFY_SECRET": f"{REFUSED}!"}),
        (("endpoints",), keyed),
        (("serve", "--port", "0"), {"RECEIVER_API_KEYS": f"{SECOND_KEY},canary-of-a-wrong-token"}),
        (("serve", "--port", "0"), {"RUNWARE_API_KEY": f"{RUNWARE_KEY} x"}),
        *(((name,), {"RECEIVER_DATABASE_URL": DATABASE}) for name in ("serve", "settings", "migrate")),
    ]
    for (arguments, _), said in zip(asked, typed(stack, asked), strict=True):
        shown = without_links(said)
        assert "Traceback" not in shown
        into.add(f"receiver {' '.join(arguments)[:60]}", shown)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Outcome, Stack]]:
    settings = {
        "RUNWARE_API_KEY": RUNWARE_KEY,
        "AIMLAPI_API_KEY": AIMLAPI_KEY,
        "RECEIVER_API_KEYS": f"{API_KEY},second:{SECOND_KEY}",
        "RECEIVER_SIGNING_KEYS": f"k1:{SIGNING_KEY}",
        "RECEIVER_ALLOWED_PRIVATE_HOSTS": "127.0.0.0/8",
        "RECEIVER_NOTIFY_URL": "http://127.0.0.1:9/hooks",
        "RECEIVER_NOTIFY_SECRET": f"whsec_{CONFIGURED}",
        "RECEIVER_LOG_LEVEL": "debug",
    }
    into = Outcome()
    with echoing() as echo, running(tmp_path_factory.mktemp("canary"), settings=settings) as stack:
        tell_endpoints(stack, into)
        put_up_with_faults(stack, into)
        with_the_store_down(stack, into)
        put_up_with_an_echo(stack, into, echo)
        read_everything(stack, into)
        type_everything(stack, into)
        stack.service.stop()
        into.add("the words of the service", stack.service.words())
        into.add("the words of the sandbox", stack.sandbox.words())
        yield into, stack


def found(outcome: Outcome, secret: str) -> list[str]:
    """Where a secret came out, with a little of what stands before it."""
    return [
        f"{name}: …{text[max(0, text.find(spelt) - 60) : text.find(spelt)]}"
        for name, text in outcome.texts.items()
        for spelt in spellings(secret)
        if spelt in text
    ]


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_comes_out_anywhere(outcome: tuple[Outcome, Stack], name: str) -> None:
    places = found(outcome[0], SECRETS[name])
    if name == "the query of an upload link":
        # A raw report is what the provider said: of what it repeats there, only what is ours is cut out.
        places = [place for place in places if " raw " not in place]
    assert places == []


def test_no_token_of_ours_comes_out_anywhere(outcome: tuple[Outcome, Stack]) -> None:
    into, stack = outcome
    tokens = into.tokens | {url.rpartition("/")[2] for url in callback_urls(stack)}
    assert [name for name, text in into.texts.items() if any(token in text for token in tokens)] == []
    # Base64 audio in raw reports has look-alikes.
    others = {name: text for name, text in into.texts.items() if " raw " not in name}
    assert [f"{name}: {TOKEN.findall(text)[0]}" for name, text in others.items() if TOKEN.search(text)] == []


def test_a_signed_link_of_a_provider_stands_in_results_and_raw_reports_only(outcome: tuple[Outcome, Stack]) -> None:
    into, stack = outcome
    signatures = {
        urlsplit(result["url"]).query.rpartition("Signature=")[2]
        for entry in stack.ledger()
        for result in entry["results"]
        if result["url"]
    }
    assert signatures
    others = {name: text for name, text in into.texts.items() if " raw " not in name}
    assert [name for name, text in others.items() if any(signature in text for signature in signatures)] == []


def test_logs_and_metrics_hold_nothing_that_a_provider_or_a_caller_wrote(outcome: tuple[Outcome, Stack]) -> None:
    ours = {name: text for name, text in outcome[0].texts.items() if "GET /metrics" in name or "the words of" in name}
    assert len(ours) == 3
    written = (PROMPT, REFERENCE, "incorrect key", "not JSON: ", "echo-of-a-generation", "no audio for")
    assert [(name, words) for name, text in ours.items() for words in written if words in text] == []


def test_there_was_something_to_find(outcome: tuple[Outcome, Stack]) -> None:
    """The secrets were where they could have come out: redaction left its mark in every kind of output."""
    texts = outcome[0].texts
    for kind in ("raw", "/events", "/reports", "receiver task"):
        assert any("[redacted]" in text for name, text in texts.items() if kind in name), kind
    assert any("store_unavailable" in text or "503" in text for text in texts.values())

"""What holds for every provider in the table, proven on its recorded payloads and on arbitrary bytes.

A payload is a body, ``payloads/<provider>/<meaning>.json`` (``.txt`` if it is no JSON or must keep its spelling),
and ``<meaning>.expected.json`` beside it: ``says`` in a sentence what form it shows; ``via`` lists the channels it is
read for; ``reading`` is what is to be read, or ``unreadable`` is true; ``same_outputs_as`` names a payload with the
same results in another form. The folders ``submit`` and ``poll`` hold answers to our own calls: ``http_status``,
``headers``, and what they mean: ``outcome``; for the tasks ``asked`` about their ``slices``, or ``unanswered``.
"""

import contextlib
import json
import string
from dataclasses import asdict, replace
from datetime import timedelta
from uuid import UUID, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.domain.attempt import Accepted, Paused, Refused, SubmitOutcome, Unclear
from receiver.domain.errors import ErrorCode, UnreadableError
from receiver.domain.report import Reading, Via
from receiver.domain.task import Recovery, Task
from receiver.lifecycle.ports.provider import Answered, LogPage, Provider, Unanswered
from receiver.providers import PROVIDERS
from tests.providers.cases import (
    CALLBACK_URL,
    KEY,
    LYRICS,
    REFERENCE,
    RUNWARE_TASK,
    Payload,
    answer,
    checked_task,
    payloads,
    provider,
    request,
)

REPORTS, SUBMITS, POLLS = payloads(), payloads("submit"), payloads("poll")
NAMES = sorted(PROVIDERS)


def in_json(reading: Reading) -> dict[str, object]:
    """A reading as the expectations spell it."""
    return {
        "outputs": [
            {**asdict(output), "link_expires_at": output.link_expires_at and output.link_expires_at.isoformat()}
            for output in reading.outputs
        ],
        "failures": [
            {
                "code": failure.error.code.value,
                "provider_code": failure.error.provider_code,
                "retryable": failure.error.retryable,
                "provider_task_id": failure.provider_task_id,
                "message": failure.error.message,
            }
            for failure in reading.failures
        ],
        "pending": reading.pending,
        "oddities": list(reading.oddities),
        "named": sorted(reading.named),
        "cost_micros": reading.cost_micros,
    }


def listed(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def member(value: object, name: str) -> object:
    assert isinstance(value, dict)
    return value[name]


def channels(payload: Payload) -> list[Via]:
    return [Via(str(via)) for via in listed(payload.expected["via"])]


def expected_reading(payload: Payload, reading: Reading) -> dict[str, object]:
    """The expectation; a message that it leaves out is taken from the reading."""
    expected = json.loads(json.dumps(payload.expected["reading"]))
    for failure, read in zip(expected["failures"], reading.failures, strict=False):
        failure.setdefault("message", read.error.message)
    expected["named"] = sorted(expected["named"])
    assert isinstance(expected, dict)
    return expected


def asked_tasks(payload: Payload) -> list[Task]:
    """Tasks that go by the ids a poll payload was asked for."""
    tasks = []
    for name in map(str, listed(payload.expected["asked"])):
        asked = replace(checked_task(payload.provider), id=uuid5(RUNWARE_TASK, name), provider_task_id=name)
        tasks.append(asked)
    return tasks


def its_answer(payload: Payload) -> tuple[int, bytes, dict[str, str]]:
    status, headers = payload.expected["http_status"], payload.expected["headers"]
    assert isinstance(status, int)
    assert isinstance(headers, dict)
    return status, payload.body, headers


@pytest.mark.parametrize("name", NAMES)
def test_every_provider_has_recorded_payloads_of_reports_submits_and_polls(name: str) -> None:
    for recorded in (REPORTS, SUBMITS, POLLS):
        assert [payload for payload in recorded if payload.provider == name]


@pytest.mark.parametrize("payload", REPORTS, ids=str)
def test_a_recorded_report_is_read_as_written_beside_it(payload: Payload) -> None:
    adapter = provider(payload.provider)
    for via in channels(payload):
        if payload.expected.get("unreadable"):
            with pytest.raises(UnreadableError):
                adapter.read(payload.body, via)
            continue
        reading = adapter.read(payload.body, via)
        assert in_json(reading) == expected_reading(payload, reading)
        assert adapter.read(payload.body, via) == reading


@pytest.mark.parametrize("payload", [p for p in REPORTS if "same_outputs_as" in p.expected], ids=str)
def test_a_result_keeps_its_identity_in_every_form_it_comes_in(payload: Payload) -> None:
    [other] = [p for p in REPORTS if (p.provider, p.name) == (payload.provider, payload.expected["same_outputs_as"])]
    adapter = provider(payload.provider)
    here, there = (adapter.read(p.body, channels(p)[0]) for p in (payload, other))
    assert [output.identity for output in here.outputs] == [output.identity for output in there.outputs]


@pytest.mark.parametrize("payload", REPORTS, ids=str)
def test_every_output_has_a_link_or_inline_audio_and_never_both(payload: Payload) -> None:
    if payload.expected.get("unreadable"):
        return
    reading = provider(payload.provider).read(payload.body, channels(payload)[0])
    assert all((output.link is None) != (output.inline is None) for output in reading.outputs)


@pytest.mark.parametrize("payload", SUBMITS, ids=str)
def test_a_recorded_answer_to_a_submit_means_what_is_written_beside_it(payload: Payload) -> None:
    outcome = provider(payload.provider).read_submit(
        replace(checked_task(payload.provider), id=RUNWARE_TASK), answer(*its_answer(payload))
    )
    expected = payload.expected["outcome"]
    assert told(outcome, payload.body) == expected


def told(outcome: SubmitOutcome, body: bytes) -> dict[str, object]:
    match outcome:
        case Accepted():
            assert outcome.report in {None, body}
            return {
                "kind": "accepted",
                "provider_task_id": outcome.provider_task_id,
                "report": outcome.report is not None,
            }
        case Refused():
            error = outcome.error
            return {"kind": "refused", "code": error.code.value, "provider_code": error.provider_code}
        case Paused():
            error, rest = outcome.error, outcome.retry_after
            seconds = None if rest is None else rest.total_seconds()
            return {
                "kind": "paused",
                "code": error.code.value,
                "provider_code": error.provider_code,
                "retry_after": seconds,
            }
        case Unclear():
            assert outcome.reason
            return {"kind": "unclear"}
        case _:
            pytest.fail(f"an adapter cannot know {outcome}")


@pytest.mark.parametrize("payload", POLLS, ids=str)
def test_a_recorded_answer_to_a_poll_means_what_is_written_beside_it(payload: Payload) -> None:
    tasks = asked_tasks(payload)
    outcome = provider(payload.provider).read_poll(tasks, answer(*its_answer(payload)))
    if isinstance(outcome, Unanswered):
        rest = outcome.retry_after
        assert {
            "code": outcome.error.code.value,
            "pauses": outcome.pauses,
            "retry_after": None if rest is None else rest.total_seconds(),
        } == payload.expected.get("unanswered")
        return
    names = {task.id: task.provider_task_id for task in tasks}
    assert {
        names[task_id]: {
            "outputs": len(part.reading.outputs),
            "failures": len(part.reading.failures),
            "pending": part.reading.pending,
            "oddities": len(part.reading.oddities),
            "sliced": part.sliced,
            "cost_micros": part.cost_micros,
        }
        for task_id, part in outcome.slices.items()
    } == payload.expected.get("slices")


@pytest.mark.parametrize("payload", POLLS, ids=str)
def test_what_is_kept_of_a_poll_reads_the_same_again_and_names_nobody_else(payload: Payload) -> None:
    adapter, tasks = provider(payload.provider), asked_tasks(payload)
    outcome = adapter.read_poll(tasks, answer(*its_answer(payload)))
    if isinstance(outcome, Unanswered):
        return
    for task in tasks:
        part = outcome.slices.get(task.id)
        if part is not None:
            assert adapter.read(part.body, Via.POLL) == part.reading
            assert part.reading.named <= {task.provider_task_id}
            assert part.sliced or part.body == payload.body


@pytest.mark.parametrize("payload", REPORTS, ids=str)
def test_a_report_polled_for_one_task_says_the_same_as_read_alone(payload: Payload) -> None:
    """The share of the only task asked about loses nothing that names it."""
    if payload.expected.get("unreadable") or Via.POLL not in channels(payload):
        return
    adapter = provider(payload.provider)
    reading = adapter.read(payload.body, Via.POLL)
    if len(reading.named) != 1:
        return
    [name] = reading.named
    asked = replace(checked_task(payload.provider), provider_task_id=name)
    outcome = adapter.read_poll([asked], answer(200, payload.body))
    if isinstance(outcome, Answered):
        assert outcome.slices[asked.id].reading == reading
    else:
        assert (reading.outputs, reading.failures, reading.pending) == ((), (), False)


@pytest.mark.parametrize("name", NAMES)
def test_every_submit_carries_the_key_the_task_and_the_request(name: str) -> None:
    adapter = provider(name)
    asked = checked_task(name, lyrics=LYRICS)
    call = adapter.submit(asked, reference=REFERENCE, callback_url=CALLBACK_URL)
    sent = (call.body or b"").decode()
    assert call.method == "POST"
    assert call.headers["Authorization"] == f"Bearer {KEY}"
    assert call.headers["Content-Type"] == "application/json"
    assert str(asked.id) in sent + "".join(call.headers.values())
    for carried in (asked.request.prompt, LYRICS, REFERENCE, asked.model):
        assert json.dumps(carried) in sent
    assert (CALLBACK_URL in sent) == adapter.pushes


@pytest.mark.parametrize("name", NAMES)
def test_no_repr_shows_the_key(name: str) -> None:
    adapter = provider(name)
    asked = replace(checked_task(name), provider_task_id="6f1c2f0e-6c5f-4a0b-9a55-0d7d3b1c9e01")
    calls = [adapter.submit(asked, reference=REFERENCE, callback_url=None), adapter.poll([asked])]
    if adapter.recovery is Recovery.LOOKUP:
        calls.append(adapter.search(asked.created_at, asked.created_at + timedelta(hours=1), 0))
    assert all(KEY not in repr(thing) + str(thing) for thing in [adapter, *calls])
    assert all(KEY not in call.url and KEY.encode() not in (call.body or b"") for call in calls)


@pytest.mark.parametrize("name", NAMES)
def test_without_a_key_a_provider_is_not_configured_and_sends_none(name: str) -> None:
    entry = PROVIDERS[name]
    for key in (None, "", "  "):
        adapter = entry.build({option.name: option.default for option in entry.options}, key)
        assert not adapter.configured
        assert "Authorization" not in adapter.submit(checked_task(name), reference="", callback_url=None).headers
    assert provider(name).configured


@pytest.mark.parametrize("name", NAMES)
def test_a_key_that_fits_no_header_is_refused_without_being_shown(name: str) -> None:
    entry = PROVIDERS[name]
    for key in ("se\ncret", "sec ret", "sécret"):
        with pytest.raises(ValueError, match=f"{name.upper()}_API_KEY") as refused:
            entry.build({option.name: option.default for option in entry.options}, key)
        assert key not in str(refused.value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "bad", ["", "nonsense value", "-1", "inf", "ftp://x", "https://u:p4ss@x.example", "https://x/?q"]
)
def test_every_option_has_a_meaning_a_default_that_builds_and_names_itself_when_wrong(name: str, bad: str) -> None:
    for option in PROVIDERS[name].options:
        assert option.meaning
        if option.name == "media_hosts" and bad in {"", "inf"}:
            continue  # no host at all, and a host of one word, are choices
        if bad == option.default:
            continue  # it may be left out
        with pytest.raises(ValueError, match=option.name) as refused:
            provider(name, **{option.name: bad})
        if option.name == "url":
            assert "p4ss" not in str(refused.value)


@pytest.mark.parametrize("name", NAMES)
def test_its_name_is_a_word_for_urls_and_variables_and_the_tables_key(name: str) -> None:
    adapter = provider(name)
    assert name == PROVIDERS[name].name == adapter.name
    assert set(name) <= set(string.ascii_lowercase + string.digits + "_")


@pytest.mark.parametrize("name", NAMES)
def test_checking_a_checked_request_changes_nothing(name: str) -> None:
    adapter = provider(name)
    once = adapter.check(request(name, lyrics=LYRICS, output_format="wAv"))
    assert once.problems == ()
    assert adapter.check(once.request) == once
    assert once.request.model
    assert once.request.count == 1
    assert once.request.output_type == "URL"


@pytest.mark.parametrize("name", NAMES)
def test_looks_are_planned_forward_in_time(name: str) -> None:
    for pushed in (False, True):
        plan = provider(name).plan(request(name), pushed=pushed)
        assert plan.first > 0
        assert plan.interval > 0
        assert plan.growth >= 1


@pytest.mark.parametrize("name", NAMES)
def test_lookups_rise_where_a_log_is_searched_and_are_none_elsewhere(name: str) -> None:
    adapter = provider(name)
    assert list(adapter.lookups) == sorted(set(adapter.lookups))
    assert bool(adapter.lookups) == (adapter.recovery is Recovery.LOOKUP)


@pytest.mark.parametrize("name", NAMES)
def test_only_what_goes_by_our_own_id_is_sent_again(name: str) -> None:
    """A task that is found again under an id it is not known by would be taken for somebody else's."""
    adapter = provider(name)
    if adapter.recovery is Recovery.RESEND:
        assert adapter.provider_task_id(RUNWARE_TASK) == str(RUNWARE_TASK)


# ------------------------------------------------------------------ what strangers may send, at its worst
WORDS = st.sampled_from(
    [
        *("data", "errors", "error", "taskUUID", "taskType", "status", "code", "message", "audioURL", "audioUUID"),
        *("audioBase64Data", "audioDataURI", "cost", "seed", "errorId", "id", "audio_file", "url", "meta", "usage"),
        *("usd_spent", "statusCode", "detail", "name", "loc", "client_request_id", "inference_id", "pagination"),
        *("has_more", "success", "completed", "processing", "queued", "taskNotFound", "getResponse"),
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**66), 2**66)
    | st.floats()
    | WORDS
    | st.text(max_size=8)
    | st.sampled_from([str(RUNWARE_TASK), REFERENCE, "http://[", "https://x:99999/", "data:,", "\ud800", "\0", "429"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=10
)


def places(value: object) -> list[tuple[dict[str, object] | list[object], str | int]]:
    """Every place in a JSON value where something else could stand."""
    if isinstance(value, dict):
        return [(value, name) for name in value] + [place for inner in value.values() for place in places(inner)]
    if isinstance(value, list):
        return [(value, at) for at in range(len(value))] + [place for inner in value for place in places(inner)]
    return []


def altered(recorded: str, changes: list[tuple[int, object]]) -> bytes:
    """A recorded body with something else in some of its places."""
    value = json.loads(recorded)
    for where, replacement in changes:
        if found := places(value):
            holder, at = found[where % len(found)]
            holder[at] = replacement  # type: ignore[index] # each holder comes with its own kind of key
    return json.dumps(value).encode()


RECORDED = [
    payload.body.decode()
    for payload in [*REPORTS, *SUBMITS, *POLLS]
    if not payload.expected.get("unreadable")
    and payload.body[:1] in {b"{", b"["}
    and payload.body[-2:-1] in {b"}", b"]"}
]
CHANGES = st.lists(st.tuples(st.integers(0, 30), VALUES), max_size=3)
BODIES = (
    st.binary(max_size=60)
    | VALUES.map(lambda value: json.dumps(value).encode())
    | st.builds(altered, st.sampled_from(RECORDED), CHANGES)
)
STATUSES = st.sampled_from([100, 200, 201, 204, 302, 400, 401, 402, 403, 404, 408, 409, 418, 429, 500, 503, 599])
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "date", "x-aimlapi-usd-spent"]),
    st.text(max_size=12) | st.sampled_from(["9", "-1", "1e999999999999", "Sat, 21 Nov 2026 10:00:00 GMT", "9" * 40]),
)


@pytest.mark.parametrize("name", NAMES)
def test_reading_any_bytes_at_all_raises_nothing_but_unreadable(name: str) -> None:
    adapter = provider(name)

    @settings(max_examples=100, deadline=None, database=None)
    @given(BODIES, st.sampled_from(Via))
    def read(body: bytes, via: Via) -> None:
        with contextlib.suppress(UnreadableError):
            reading = adapter.read(body, via)
            assert adapter.read(body, via) == reading
            assert all(len(oddity) <= 300 and oddity.isprintable() for oddity in reading.oddities)
            for failure in reading.failures:
                shown = failure.error.message + (failure.error.provider_code or "")
                assert shown.isprintable()
                assert len(shown) <= 1200

    read()


@pytest.mark.parametrize("name", NAMES)
def test_any_answer_at_all_has_a_meaning(name: str) -> None:
    adapter = provider(name)
    asked = replace(checked_task(name), id=RUNWARE_TASK, provider_task_id=str(RUNWARE_TASK))
    other = replace(asked, id=UUID(int=1), provider_task_id=str(UUID(int=1)))
    tasks = [asked, other][: adapter.most_polled_at_once]

    @settings(max_examples=100, deadline=None, database=None)
    @given(STATUSES, BODIES, HEADERS)
    def read(status: int, body: bytes, headers: dict[str, str]) -> None:
        given_answer = answer(status, body, headers)
        submitted = adapter.read_submit(asked, given_answer)
        if status >= 500:
            assert isinstance(submitted, Unclear)
        for batch in (tasks[:1], tasks):
            polled = adapter.read_poll(batch, given_answer)
            if isinstance(polled, Answered):
                assert status < 500
                for part in polled.slices.values():
                    assert adapter.read(part.body, Via.POLL) == part.reading
            else:
                assert polled.error.code in ErrorCode
                assert polled.retry_after is None or 1 <= polled.retry_after.total_seconds() <= 3600
        assert isinstance(adapter.read_search(given_answer), LogPage | Unanswered)

    read()


@pytest.mark.parametrize("name", NAMES)
def test_the_trusted_hosts_are_the_options_and_the_origin_we_call(name: str) -> None:
    adapter: Provider = provider(
        name, media_hosts="cdn.example.org,*.media.example.org", url="http://127.0.0.1:9090/api"
    )
    trusted = (
        "https://cdn.example.org/a.mp3?x=%2F",
        "https://a.b.media.example.org:443/a.mp3",
        "HTTPS://CDN.EXAMPLE.ORG/a",
        "http://127.0.0.1:9090/media/a.mp3",
    )
    others = (
        "http://cdn.example.org/a.mp3",
        "https://cdn.example.org:8443/a.mp3",
        "https://cdn.example.org.evil.example/a.mp3",
        "https://media.example.org/a.mp3",
        "https://evilmedia.example.org/a.mp3",
        "https://user@cdn.example.org/a.mp3",
        "https://evil.example\\.media.example.org/a.mp3",
        "https://evil.example/.media.example.org",
        "https://evil.example%2f.media.example.org/a.mp3",
        "https://evil.example#.media.example.org",
        "https://cdn.example.org\t/a.mp3",
        "http://127.0.0.1:9091/media/a.mp3",
        "https://127.0.0.1:9090/media/a.mp3",
        "http://localhost:9090/media/a.mp3",
        "ftp://cdn.example.org/a.mp3",
        "https://[::1]/a",
        "https://cdn.example.org:0/a",
        "https://\uff43dn.example.org/a.mp3",
        "cdn.example.org/a.mp3",
        "http://[",
        "",
    )
    assert [link for link in trusted if not adapter.trusts(link)] == []
    assert [link for link in others if adapter.trusts(link)] == []

from types import MappingProxyType

import pytest

from receiver.domain.request import Checked
from tests.providers.cases import INLINE, LYRICS, PROMPT, REFERENCE, provider, request

OTHER_MODEL = {"model": "vendor:song@2", "provider_options": MappingProxyType({"steps": 3})}


def check(**fields: object) -> Checked:
    return provider("runware").check(request("runware", **fields))


def refused(**fields: object) -> dict[str, str]:
    return {problem.field: problem.message for problem in check(**fields).problems}


def test_the_defaults_are_filled_in() -> None:
    checked = check()
    assert (checked.problems, checked.warnings) == ((), ())
    wanted = checked.request
    assert (wanted.model, wanted.count, wanted.output_format) == ("minimax:music@cover", 1, "MP3")
    assert (wanted.output_type, wanted.include_cost) == ("URL", True)
    assert (wanted.seed, wanted.ttl_seconds, wanted.lyrics) == (None, None, None)


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "ä" * 10},
        {"prompt": "🎵" * 300},
        {"lyrics": "x" * 10},
        {"lyrics": "x" * 1000},
        {"count": 1},
        {"count": 4},
        {"seed": 0},
        {"seed": 1_000_000},
        {"ttl_seconds": 60},
        {"ttl_seconds": 31_536_000, "output_type": "url"},
        {"include_cost": False},
        {"upload_endpoint": "https://bucket.example.org/up?X-Signature=a%2Fb"},
        {"reference_audio": "http://files.example.org:8080/in.mp3?x=%2F"},
        {"reference_audio": "77da5f0e-2b1c-4d3e-8f4a-9b8c7d6e5f01"},
        {"model": "minimax:music@cover"},
        {"provider_options": {"audioSettings": {"sampleRate": 44100}, "settings": {"other": 1}}},
    ],
    ids=repr,
)
def test_what_the_page_allows_is_accepted(fields: dict[str, object]) -> None:
    assert refused(**fields) == {}


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"prompt": ""}, "prompt", "is required: 10 to 300 characters"),
        ({"prompt": "x" * 9}, "prompt", "10 to 300 characters; 9 were given"),
        ({"prompt": "x" * 301}, "prompt", "10 to 300 characters; 301 were given"),
        ({"prompt": PROMPT + "\0"}, "prompt", "NUL"),
        ({"prompt": PROMPT + "\ud800"}, "prompt", "surrogate"),
        ({"lyrics": ""}, "lyrics", "10 to 1,000 characters"),
        ({"lyrics": "x" * 9}, "lyrics", "9 were given"),
        ({"lyrics": "x" * 1001}, "lyrics", "10 to 1,000 characters; 1,001 were given"),
        ({"lyrics": LYRICS + "\0"}, "lyrics", "NUL"),
        ({"count": 0}, "count", "must be 1 to 4; 0 was given"),
        ({"count": 5}, "count", "must be 1 to 4"),
        ({"seed": -1}, "seed", "must be 0 to 1,000,000"),
        ({"seed": 1_000_001}, "seed", "must be 0 to 1,000,000"),
        ({"output_format": "ogg"}, "output_format", "MP3, WAV, FLAC"),
        ({"output_format": ""}, "output_format", "MP3, WAV, FLAC"),
        ({"output_type": "file"}, "output_type", "URL, base64Data, dataURI"),
        ({"sample_rate": 44100}, "sample_rate", "no such field"),
        ({"bitrate": 128000}, "bitrate", "no such field"),
        ({"ttl_seconds": 59}, "ttl_seconds", "60 or more"),
        ({"ttl_seconds": 31_536_001}, "ttl_seconds", "31,536,000 (one year) or less; 31,536,001 was given"),
        ({"ttl_seconds": 10**12}, "ttl_seconds", "one year"),
        ({"ttl_seconds": 60, "output_type": "dataURI"}, "ttl_seconds", "only to output_type URL"),
        ({"upload_endpoint": "ftp://x.example/y"}, "upload_endpoint", "http"),
        ({"upload_endpoint": "https://u:p@x.example/y"}, "upload_endpoint", "user name"),
        ({"reference_audio": ""}, "reference_audio", "is required"),
        ({"reference_audio": INLINE}, "reference_audio", "POST /v1/inputs"),
        ({"reference_audio": "data:audio/mpeg;base64,SUQz"}, "reference_audio", "POST /v1/inputs"),
        ({"reference_audio": "input:0f"}, "reference_audio", "input: and the id"),
        ({"reference_audio": "SUQzBAAAAAAA"}, "reference_audio", "UUID"),
        ({"reference_audio": "https://"}, "reference_audio", "host"),
        ({"reference_audio": "https://u@x.example/in.mp3"}, "reference_audio", "user name"),
        ({"reference_audio": "https://x.example/in\n.mp3"}, "reference_audio", "control characters"),
        ({"reference_audio": "https://x.example/" + "x" * 2048}, "reference_audio", "2048"),
        ({"model": "vendor:song@2"}, "model", "only minimax:music@cover is known"),
        ({"model": ""}, "model", "minimax:music@cover"),
        ({"model": "bad\nmodel", "provider_options": {"a": 1}}, "model", "name"),
        ({"provider_options": {"taskUUID": "x"}}, "provider_options.taskUUID", "ours"),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_what_it_forbids_is_refused_by_name(fields: dict[str, object], field: str, words: str) -> None:
    problems = refused(**fields)
    assert list(problems) == [field]
    assert words in problems[field]


@pytest.mark.parametrize(
    "path",
    [
        *("taskType", "taskUUID", "model", "positivePrompt", "seed", "numberResults", "outputType", "outputFormat"),
        *("deliveryMethod", "webhookURL", "uploadEndpoint", "ttl", "includeCost", "apiKey", "callbackUrl"),
        *("inputs.audio", "settings.lyrics"),
    ],
)
def test_no_option_reaches_what_our_own_fields_say(path: str) -> None:
    options: object = 1
    for name in reversed(path.split(".")):
        options = {name: options}
    assert list(refused(provider_options=options)) == [f"provider_options.{path}"]


def test_everything_wrong_is_named_at_once() -> None:
    problems = refused(prompt="short", count=9, seed=-1, bitrate=1, reference_audio="")
    assert set(problems) == {"prompt", "count", "seed", "bitrate", "reference_audio"}


@pytest.mark.parametrize(("given", "spelt"), [("wav", "WAV"), ("Mp3", "MP3"), ("FLAC", "FLAC")])
def test_formats_are_spelt_as_runware_spells_them(given: str, spelt: str) -> None:
    assert check(output_format=given).request.output_format == spelt


@pytest.mark.parametrize(("given", "spelt"), [("url", "URL"), ("BASE64DATA", "base64Data"), ("datauri", "dataURI")])
def test_types_are_spelt_as_runware_spells_them(given: str, spelt: str) -> None:
    assert check(output_type=given).request.output_type == spelt


def test_several_results_at_one_upload_url_are_warned_of() -> None:
    checked = check(upload_endpoint=REFERENCE, count=2)
    assert checked.problems == ()
    assert [warning.field for warning in checked.warnings] == ["upload_endpoint"]
    assert check(upload_endpoint=REFERENCE).warnings == ()


def test_another_model_with_options_has_its_own_limits() -> None:
    checked = check(prompt="x", lyrics="y", count=9, seed=2**32, output_format="ogg", **OTHER_MODEL)
    assert checked.problems == ()
    assert (checked.request.output_format, checked.request.count) == ("OGG", 9)
    assert check(**OTHER_MODEL).request.output_format is None


def test_what_holds_for_runware_itself_holds_for_another_model_too() -> None:
    problems = refused(count=0, ttl_seconds=1, bitrate=1, output_type="x", reference_audio=INLINE, **OTHER_MODEL)
    assert set(problems) == {"count", "ttl_seconds", "bitrate", "output_type", "reference_audio"}

from types import MappingProxyType

import pytest

from receiver.domain.request import Checked
from tests.providers.cases import INLINE, LYRICS, PROMPT, provider, request

OTHER_MODEL = {"model": "elevenlabs/eleven_music", "provider_options": MappingProxyType({"steps": 3})}


def check(**fields: object) -> Checked:
    return provider("aimlapi").check(request("aimlapi", **fields))


def refused(**fields: object) -> dict[str, str]:
    return {problem.field: problem.message for problem in check(**fields).problems}


def test_the_defaults_are_filled_in() -> None:
    checked = check()
    assert (checked.problems, checked.warnings) == ((), ())
    wanted = checked.request
    assert (wanted.model, wanted.count, wanted.output_type) == ("minimax/music-cover", 1, "URL")
    assert (wanted.output_format, wanted.sample_rate, wanted.bitrate) == ("mp3", 44100, 256000)
    assert (wanted.seed, wanted.include_cost, wanted.ttl_seconds, wanted.upload_endpoint) == (None,) * 4


@pytest.mark.parametrize("given", ["wav", "PCM"])
def test_no_bitrate_is_made_up_for_audio_that_is_not_compressed(given: str) -> None:
    wanted = check(output_format=given).request
    assert (wanted.output_format, wanted.sample_rate, wanted.bitrate) == (given.lower(), 44100, None)
    assert check(output_format=given, bitrate=64000).request.bitrate == 64000


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "ä" * 10},
        {"prompt": "🎵" * 2000},
        {"lyrics": "x" * 10},
        {"lyrics": "x" * 3000},
        {"count": 1},
        {"output_type": "url"},
        {"output_format": "Pcm"},
        *({"sample_rate": rate} for rate in (16000, 24000, 32000, 44100)),
        *({"bitrate": rate} for rate in (32000, 64000, 128000, 256000)),
        {"reference_audio": INLINE},
        {"reference_audio": "http://files.example.org/in.mp3"},
        {"provider_options": {"audio_setting": {"channels": 2}}},
    ],
    ids=lambda fields: repr(fields)[:40],
)
def test_what_the_page_allows_is_accepted(fields: dict[str, object]) -> None:
    assert refused(**fields) == {}


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"prompt": ""}, "prompt", "is required: 10 to 2,000 characters"),
        ({"prompt": "x" * 9}, "prompt", "9 were given"),
        ({"prompt": "x" * 2001}, "prompt", "10 to 2,000 characters; 2,001 were given"),
        ({"prompt": PROMPT + "\0"}, "prompt", "NUL"),
        ({"lyrics": "x" * 9}, "lyrics", "10 to 3,000 characters"),
        ({"lyrics": "x" * 3001}, "lyrics", "10 to 3,000 characters"),
        ({"lyrics": LYRICS + "\udfff"}, "lyrics", "surrogate"),
        ({"count": 2}, "count", "must be 1"),
        ({"count": 0}, "count", "must be 1"),
        ({"seed": 0}, "seed", "no such field"),
        ({"output_format": "flac"}, "output_format", "mp3, wav, pcm"),
        ({"output_type": "base64Data"}, "output_type", "must be URL"),
        ({"sample_rate": 48000}, "sample_rate", "16000, 24000, 32000, 44100"),
        ({"bitrate": 96000}, "bitrate", "32000, 64000, 128000, 256000"),
        ({"ttl_seconds": 60}, "ttl_seconds", "no such field"),
        ({"include_cost": False}, "include_cost", "no such field"),
        ({"upload_endpoint": "https://x.example/y"}, "upload_endpoint", "no such field"),
        ({"reference_audio": ""}, "reference_audio", "is required"),
        ({"reference_audio": "input:0f"}, "reference_audio", "input: and the id"),
        ({"reference_audio": "77da5f0e-2b1c-4d3e-8f4a-9b8c7d6e5f01"}, "reference_audio", "URL"),
        ({"reference_audio": "https://u@x.example/in.mp3"}, "reference_audio", "user name"),
        ({"model": "elevenlabs/eleven_music"}, "model", "only minimax/music-cover is known"),
        ({"provider_options": {"prompt": "x"}}, "provider_options.prompt", "ours"),
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
        *("model", "prompt", "reference_audio_url", "lyrics", "audio_setting.sample_rate", "audio_setting.bitrate"),
        *("audio_setting.format", "api_key", "callback_url", "webhook_url"),
    ],
)
def test_no_option_reaches_what_our_own_fields_say(path: str) -> None:
    options: object = 1
    for name in reversed(path.split(".")):
        options = {name: options}
    assert list(refused(provider_options=options)) == [f"provider_options.{path}"]


@pytest.mark.parametrize(
    ("fields", "warned"),
    [
        ({"prompt": "x" * 300, "lyrics": "x" * 1000}, []),
        ({"prompt": "x" * 301}, ["prompt"]),
        ({"lyrics": "x" * 1001}, ["lyrics"]),
        ({"prompt": "x" * 2000, "lyrics": "x" * 3000}, ["prompt", "lyrics"]),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_the_model_behind_may_refuse_is_sent_unclamped_and_warned_of(
    fields: dict[str, object], warned: list[str]
) -> None:
    checked = check(**fields)
    assert checked.problems == ()
    assert [warning.field for warning in checked.warnings] == warned
    assert all(getattr(checked.request, name) == value for name, value in fields.items())


def test_another_model_with_options_has_its_own_limits_and_no_made_up_settings() -> None:
    checked = check(prompt="x" * 5000, lyrics="y", sample_rate=8000, output_format="opus", **OTHER_MODEL)
    assert (checked.problems, checked.warnings) == ((), ())
    plain = check(**OTHER_MODEL).request
    assert (plain.output_format, plain.sample_rate, plain.bitrate) == (None, None, None)
    assert set(refused(count=2, seed=1, output_type="dataURI", reference_audio="", **OTHER_MODEL)) == {
        "count",
        "seed",
        "output_type",
        "reference_audio",
    }

from collections.abc import Mapping

import pytest

from receiver.providers.wire.checks import Findings
from receiver.providers.wire.options import check_options, merged

OURS = ("model", "inputs.audio", "settings.lyrics")


def refused(options: Mapping[str, object]) -> list[str]:
    findings = Findings()
    check_options(options, OURS, findings)
    return [problem.field for problem in findings.problems]


def nested(depth: int) -> dict[str, object]:
    value: dict[str, object] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({}, []),
        ({"steps": 3, "inputs": {"mask": ["x", None, 1.5, True]}, "settings": {}}, []),
        ({"model": "x"}, ["provider_options.model"]),
        ({"MODEL": "x"}, ["provider_options.MODEL"]),
        ({"inputs": {"audio": "x", "other": 1}}, ["provider_options.inputs.audio"]),
        ({"inputs": {"audio": {}}}, ["provider_options.inputs.audio"]),
        ({"inputs": None, "settings": "x"}, ["provider_options.inputs", "provider_options.settings"]),
        ({"inputs": [{"audio": "x"}]}, ["provider_options.inputs"]),
        ({"other": {"audio": "x", "model": "y"}}, []),
        ({"apiKey": "x"}, ["provider_options.apiKey"]),
        ({"deep": [{"API_KEY": "x"}]}, ["provider_options.deep[0].API_KEY"]),
        ({"a": {"b": {"callbackURL": "x"}}}, ["provider_options.a.b.callbackURL"]),
        (
            {"callBackUrl": 1, "webhook_secret": 1, "WebHook": 1},
            [
                "provider_options.callBackUrl",
                "provider_options.webhook_secret",
                "provider_options.WebHook",
            ],
        ),
        ({"https://t0ken.example/": {"webhookURL": 1}}, ["provider_options.(masked).webhookURL"]),
        (nested(8), []),
        (nested(9), ["provider_options"]),
        (nested(2000), ["provider_options"]),
        ({"a": "x" * (64 * 1024 - 8)}, []),
        ({"a": "x" * (64 * 1024)}, ["provider_options"]),
        ({"a": "ü" * (40 * 1024)}, ["provider_options"]),
        ({"a": float("nan")}, ["provider_options"]),
        ({"a": float("inf")}, ["provider_options"]),
        ({"a": "\ud800"}, ["provider_options"]),
        ({"a": object()}, ["provider_options"]),
        ({"a": {1: 2}}, ["provider_options"]),
        ({f"webhook{n}": 1 for n in range(1000)}, [f"provider_options.webhook{n}" for n in range(20)]),
    ],
)
def test_options_are_bounded_and_kept_off_what_is_ours(options: Mapping[str, object], fields: list[str]) -> None:
    assert refused(options) == fields


def test_options_are_merged_in_depth_and_ours_wins() -> None:
    ours = {"model": "m", "inputs": {"audio": "a"}, "count": 1}
    options = {"inputs": {"mask": "x", "audio": "theirs"}, "extra": [1], "count": {"a": 1}}
    assert merged(ours, options) == {"inputs": {"mask": "x", "audio": "a"}, "extra": [1], "count": 1, "model": "m"}

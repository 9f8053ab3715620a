import pytest

from receiver.sandbox.faults import Faults, Kind, fault_options
from receiver.sandbox.faults_reader import FaultsError, faults_document, faults_from_document, faults_from_text
from tests.sandbox.support import Box


def test_every_fault_has_a_kind_and_a_meaning_for_its_flag() -> None:
    options = fault_options()
    assert len({option.name for option in options}) == len(options)
    assert all(option.meaning for option in options)
    assert all(option.words for option in options if option.kind is Kind.CHOICE)
    assert all(option.default == option.words[0] or option.optional for option in options if option.words)


def test_the_defaults_read_back_as_themselves() -> None:
    assert faults_from_document(faults_document(Faults())) == Faults()


def test_the_documented_faults_are_all_known() -> None:
    document = {
        "only": "runware", "seconds": [2, 4], "stall": 0.0, "drop": 1.0, "duplicate": 0.1, "reorder": 0.1,
        "early": 0.1, "malformed": 0.02, "body": "flat", "error_body": "error", "fail": 0.1, "fail_code": "abc",
        "lose_submit_answer": 0.01, "http_429": 0.1, "http_5xx": 0.1, "status_words": "drift", "media": "endless",
        "media_seconds": 86400,
    }  # fmt: skip
    assert faults_from_document(document).seconds == (2.0, 4.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("drop", 1.1),
        ("drop", -0.1),
        ("drop", "1"),
        ("drop", True),
        ("drop", None),
        ("drop", float("nan")),
        ("seconds", 3),
        ("seconds", [4, 2]),
        ("seconds", [1, 2, 3]),
        ("seconds", [1, None]),
        ("media_seconds", -1),
        ("media_seconds", float("inf")),
        ("callback_attempts", 1.5),
        ("conflict_status", 199),
        ("submit_status", "200"),
        ("media", "opus"),
        ("only", "suno"),
        ("fail_code", ""),
        ("fail_code", 3),
        ("extra_fields", 1),
    ],
)
def test_a_value_of_the_wrong_kind_is_a_mistake_that_names_its_fault(name: str, value: object) -> None:
    with pytest.raises(FaultsError) as error:
        faults_from_document({name: value})
    assert [mistake.field for mistake in error.value.mistakes] == [name]


def test_values_typed_on_a_command_line_are_read_by_their_kind() -> None:
    typed = {"seconds": "2,4", "drop": "0.5", "media": "gone", "fail_code": "123", "extra_fields": "true"}
    faults = faults_from_text(typed)
    assert (faults.seconds, faults.drop, faults.media) == ((2.0, 4.0), 0.5, "gone")
    assert (faults.fail_code, faults.extra_fields) == ("123", True)


@pytest.mark.parametrize("typed", [{"drop": "much"}, {"seconds": "2"}, {"dorp": "1"}, {"seconds": "[2,"}])
def test_a_wrong_flag_is_a_mistake(typed: dict[str, str]) -> None:
    with pytest.raises(FaultsError):
        faults_from_text(typed)


async def test_put_replaces_all_faults(box: Box) -> None:
    await box.client.put("/_sandbox/faults", json={"drop": 1.0, "media": "gone"})
    answer = await box.client.put("/_sandbox/faults", json={"fail": 0.5})
    assert answer.status_code == 200
    assert answer.json() == (await box.client.get("/_sandbox/faults")).json()
    assert answer.json() == faults_document(Faults(fail=0.5))


async def test_an_unknown_fault_is_a_422_that_names_it_and_the_nearest_one(box: Box) -> None:
    before = (await box.client.get("/_sandbox/faults")).json()
    answer = await box.client.put("/_sandbox/faults", json={"dorp": 1.0, "fail": 2})
    assert answer.status_code == 422
    assert answer.json()["errors"][0] == {"field": "dorp", "message": "unknown fault; did you mean drop?"}
    assert answer.json()["errors"][1]["field"] == "fail"
    assert (await box.client.get("/_sandbox/faults")).json() == before


@pytest.mark.parametrize(("content", "status"), [(b"{", 400), (b"[]", 422), (b"3", 422), (b'{"drop":NaN}', 400)])
async def test_faults_that_are_no_object_are_refused(box: Box, content: bytes, status: int) -> None:
    answer = await box.client.put("/_sandbox/faults", content=content)
    assert answer.status_code == status
    assert answer.json()["errors"]


async def test_faults_for_one_provider_leave_the_other_as_documented(box: Box) -> None:
    await box.faults(only="aimlapi", http_error=1.0, http_error_status=503)
    refused = await box.client.get("/aimlapi/v2/logs", params={"period": "24h"})
    accepted = await box.client.post("/runware/v1", json=[{"taskType": "getResponse", "taskUUID": "x"}])
    assert (refused.status_code, accepted.status_code) == (503, 200)

"""A file put into Runware's media storage: the request, and what each answer means for the submit behind it."""

import json
from uuid import UUID

import pytest

from receiver.domain.attempt import NotSent, Paused, Refused
from receiver.domain.exchange import HttpAnswer
from receiver.lifecycle.ports import FileWay
from tests.providers.cases import provider

ID = UUID("7c0ffee0-1234-4abc-8def-0123456789ab")
STORED = "1B2C3D4E-1111-4abc-8def-0123456789ab"


def read(status: int, document: object) -> object:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return provider("runware").read_upload(HttpAnswer(status, {}, body))


def error(code: str) -> dict[str, object]:
    return {"data": [], "errors": [{"code": code, "message": "no", "taskUUID": str(ID)}]}


def test_the_file_goes_there_as_a_data_uri_in_one_task() -> None:
    adapter = provider("runware")
    assert adapter.files is FileWay.STORED
    request = adapter.upload("SUQz", "audio/mpeg", ID)
    assert json.loads(request.body or b"") == [
        {
            "taskType": "mediaStorage",
            "taskUUID": str(ID),
            "operation": "upload",
            "media": "data:audio/mpeg;base64,SUQz",
        }
    ]


def test_the_name_of_a_stored_file_is_read() -> None:
    item = {"taskType": "mediaStorage", "taskUUID": str(ID), "mediaUUID": STORED, "mediaURL": "https://x.example/y"}
    assert read(200, {"data": [item]}) == STORED.lower()


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (500, b"oops"),
        (302, b""),
        (408, b""),
        (200, b"not json"),
        (200, {"data": []}),
        (200, {"data": [{"mediaUUID": "../../etc"}]}),
        (200, error("mediaStorageFileCouldNotBeMoved")),
        (400, error("uploadFailed")),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_another_try_may_mend_counts_as_not_sent(status: int, document: object) -> None:
    assert isinstance(read(status, document), NotSent)


@pytest.mark.parametrize(("status", "document"), [(401, b""), (402, b""), (429, b""), (400, error("invalidApiKey"))])
def test_what_is_about_our_account_lets_the_provider_rest(status: int, document: object) -> None:
    assert isinstance(read(status, document), Paused)


def test_a_file_that_is_refused_ends_the_task() -> None:
    assert isinstance(read(400, error("invalidMedia")), Refused)

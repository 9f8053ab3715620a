"""Which processes take part in a drill."""

import pytest

from receiver.drill.roles import REPLICAS, each, read, words


def test_every_process_has_a_name_and_a_role() -> None:
    roles = read("callbacks=2, worker=1,api=1")
    assert list(each(roles)) == [
        ("callbacks-1", "callbacks"),
        ("callbacks-2", "callbacks"),
        ("worker-1", "worker"),
        ("api-1", "api"),
    ]
    assert words(roles) == "2 callbacks, 1 worker, 1 api"
    assert [role for _, role in each(REPLICAS)] == ["all"] * 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("callbacks=2,worker=2", "the work of api"),
        ("workers=2", "'workers=2'"),
        ("callbacks=1,worker=0,api=1", "'worker=0'"),
        ("callbacks=1,worker=x,api=1", "'worker=x'"),
        ("callbacks=1,worker=1,worker=2,api=1", "'worker=2'"),
        ("callbacks=9,worker=1,api=1", "11 processes"),
        ("", "''"),
    ],
)
def test_what_would_leave_work_undone_or_is_not_understood_is_said(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read(text)

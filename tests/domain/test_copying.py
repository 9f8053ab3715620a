import dataclasses

import pytest

from receiver.domain.copying import replace
from tests.domain.making import collecting, output


@pytest.mark.parametrize("value", [collecting(2), collecting().results[0], output()], ids=["task", "result", "said"])
def test_a_copy_is_what_the_standard_library_would_make(value: object) -> None:
    for field in dataclasses.fields(value):  # type: ignore[arg-type]
        other = object()
        expected = dataclasses.replace(value, **{field.name: other})  # type: ignore[type-var]
        assert replace(value, **{field.name: other}) == expected  # type: ignore[type-var]

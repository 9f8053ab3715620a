"""Several statements as one, where each would be a way to the database and back.

PostgreSQL runs an INSERT, UPDATE or DELETE within ``WITH`` to its end, whether or not anybody asks for its rows. All
parts see the database as it was before the first of them: what one writes, no other may read or write.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from sqlalchemy import Dialect

from receiver.storage.running import Ready
from receiver.storage.statements import takes_arrays

_PLACE = re.compile(r"\$(\d+)")
#: Texts that are kept: which of a dozen statements come together is much the same every time.
_KEPT = 256


def joined(dialect: Dialect, statements: Iterable[Ready]) -> Iterator[Ready]:
    """Yield statements that do not touch the same rows, as one where the engine knows how.

    A text that comes twice, as there are too many rows for one, is left as it is, and so are those beside it.
    """
    if not takes_arrays(dialect):
        yield from statements
        return
    parts = list(statements)
    texts = tuple(part.text for part in parts)
    if len(texts) < 2 or len(set(texts)) < len(texts):  # noqa: PLR2004 - one alone needs no other
        yield from parts
    else:
        yield Ready(_text(texts), tuple([given for part in parts for given in part.parameters]))


@lru_cache(maxsize=_KEPT)
def _text(texts: tuple[str, ...]) -> str:
    numbered: list[str] = []
    before = 0
    for text in texts:
        # What stands between the places, and their numbers.
        pieces = _PLACE.split(text)
        numbers = [int(number) for number in pieces[1::2]]
        pieces[1::2] = [f"${number + before}" for number in numbers]
        numbered.append("".join(pieces))
        before += max(numbers, default=0)
    *steps, last = numbered
    named = ", ".join(f"step_{number} AS ({step})" for number, step in enumerate(steps))
    return f"WITH {named} {last}"

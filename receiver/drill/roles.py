"""Which processes take part in a drill: some that do everything, or so many of each role."""

from collections.abc import Iterator, Mapping

#: One process does all of it; where several share a database, these many do.
ALONE: Mapping[str, int] = {"all": 1}
REPLICAS: Mapping[str, int] = {"all": 3}
#: Nothing is left undone only where there is one of each.
_NEEDED = ("callbacks", "worker", "api")
#: Each takes up to nine connections, and a server has a hundred unless told otherwise.
_MOST = 10


def read(text: str) -> Mapping[str, int]:
    """Read ``callbacks=2,worker=2,api=1``. Raises ValueError, which says what is wrong with it."""
    roles: dict[str, int] = {}
    for part in text.split(","):
        role, _, count = (word.strip() for word in part.partition("="))
        if role not in _NEEDED or role in roles or not count.isdecimal() or not int(count):
            raise ValueError(f"{part.strip()!r}: each of {', '.join(_NEEDED)} once, such as worker=2")
        roles[role] = int(count)
    if missing := [role for role in _NEEDED if role not in roles]:
        raise ValueError(f"nobody would do the work of {' and '.join(missing)}")
    if sum(roles.values()) > _MOST:
        raise ValueError(f"{sum(roles.values())} processes are more than a drill takes ({_MOST})")
    return roles


def each(roles: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yield the name and the role of every process."""
    for role, count in roles.items():
        for number in range(1, count + 1):
            yield f"{'service' if role == 'all' else role}-{number}", role


def words(roles: Mapping[str, int]) -> str:
    """Say how many there are of which."""
    return ", ".join(f"{count} {'replicas' if role == 'all' else role}" for role, count in roles.items())

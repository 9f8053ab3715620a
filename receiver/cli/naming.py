"""Which task is meant: by its id, or by the beginning of one."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from receiver.cli.failures import CommandError
from receiver.sdk import Client, Endpoint, NotFoundError

_BEGINNING = re.compile(r"[0-9a-f-]{8,35}")
_LOOKED_THROUGH = 200
_PAGE = 100


@asynccontextmanager
async def named(client: Client, text: str) -> AsyncIterator[str]:
    """Give the whole id of the task that is meant. Raises CommandError when there is none, or more than one."""
    try:
        task_id = str(UUID(text))
    except ValueError:
        task_id = await _begun(client, text)
    try:
        yield task_id
    except NotFoundError:
        raise CommandError(f"no task {task_id}") from None


async def _begun(client: Client, text: str) -> str:
    """Look for the one among the newest tasks whose id begins so."""
    beginning = text.lower().rstrip("…")
    if not _BEGINNING.fullmatch(beginning):
        raise CommandError(f"no task {text}", "an id, or at least its first 8 characters, is needed")
    found: list[str] = []
    seen, cursor = 0, None
    while seen < _LOOKED_THROUGH:
        page = await client.tasks(limit=_PAGE, cursor=cursor)
        found += [task.id for task in page.tasks if task.id.startswith(beginning)]
        seen, cursor = seen + len(page.tasks), page.next_cursor
        if cursor is None or not page.tasks:
            break
    if len(found) > 1:
        raise CommandError(f"{len(found)} tasks begin with {text}", *found[:5])
    if not found:
        older = f"looked through the newest {seen}; for an older one give the whole id"
        raise CommandError(f"no task {text}", *([] if cursor is None else [older]))
    return found[0]


async def named_endpoint(client: Client, text: str) -> Endpoint:
    """Return the endpoint that is meant: by its id, the beginning of one, or its URL. Raises CommandError."""
    beginning = text.lower().rstrip("…")
    endpoints = await client.endpoints()
    found = [each for each in endpoints if text == each.url or beginning == each.id] or [
        each for each in endpoints if _BEGINNING.fullmatch(beginning) and each.id.startswith(beginning)
    ]
    if len(found) > 1:
        raise CommandError(f"{len(found)} endpoints begin with {text}", *(each.id for each in found[:5]))
    if not found:
        raise CommandError(f"no endpoint {text}", "`receiver endpoints list` shows them")
    return found[0]

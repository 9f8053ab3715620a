"""Taking a JSON document out of a request's body: bounded, plain, within its time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request
from starlette.types import Scope

from receiver.web import problems
from receiver.web.bodies import NoRoomError, TooLargeError, TooSlowError, header, read_body
from receiver.web.context import Context
from receiver.web.documents import read_aside
from receiver.web.problems import BrokenOffError, ProblemError

_UTF_8 = frozenset({b"charset=utf-8", b'charset="utf-8', b"charset=us-ascii"})


@asynccontextmanager
async def taken(context: Context, request: Request, *, limit: int) -> AsyncIterator[dict[str, object]]:
    """Give the JSON object of a body of at most ``limit`` bytes; its room is kept as long as the block lasts.

    Raises ProblemError for whatever is wrong with it, BrokenOffError when its sender is gone.
    """
    _check_headers(request.scope)
    with context.room.share() as share:
        try:
            body = await read_body(
                request.scope, request.receive, share, limit=limit, seconds=context.config.request_body_seconds
            )
        except TooLargeError:
            raise ProblemError(problems.TOO_LARGE, f"the body may have {limit} bytes", unread=True) from None
        except TooSlowError:
            raise ProblemError(problems.TOO_SLOW, unread=True) from None
        except NoRoomError:
            raise ProblemError(problems.UNAVAILABLE, headers=problems.LATER, unread=True) from None
        if body is None:
            raise BrokenOffError
        yield await read_aside(body, most_values=context.ports.limits.max_brackets)


def _check_headers(scope: Scope) -> None:
    """Refuse what is not plain JSON."""
    names = {name for name, _ in scope["headers"]}
    if header(scope, b"content-encoding") not in {None, b"identity"}:
        raise ProblemError(problems.UNSUPPORTED_TYPE, "the body must not be compressed", unread=True)
    if b"content-type" not in names:
        return
    media_type, *parameters = (header(scope, b"content-type") or b"").lower().replace(b" ", b"").split(b";")
    charsets = [value for value in parameters if value.startswith(b"charset=")]
    if media_type != b"application/json" or any(value.strip(b'"') not in _UTF_8 for value in charsets):
        raise ProblemError(problems.UNSUPPORTED_TYPE, unread=True)

"""Upload: take in a reference audio of the caller's own, look at it, and keep it until a task needs it."""

from collections.abc import AsyncIterable
from datetime import timedelta

from anyio import to_thread

from receiver.domain.errors import (
    FieldProblem,
    InvalidRequestError,
    MediaInterruptedError,
    UnavailableError,
)
from receiver.domain.input import Input, length_problem, object_key
from receiver.lifecycle.ports import Fetched, Ports, TooManyInputsError

#: An object whose row is not there by then never gets one, and is removed.
_PROMISE = timedelta(hours=1)


async def check_room(ports: Ports, more: int = 0) -> None:
    """Raise TooManyInputsError when as many files wait for a task as may, or ``more`` bytes would be too many."""
    count, size = await ports.store.inputs.unused()
    if count >= ports.limits.max_unused_inputs or size + more > ports.limits.max_unused_input_bytes:
        raise TooManyInputsError


async def upload(ports: Ports, chunks: AsyncIterable[bytes]) -> Input:
    """Take in a file and return what names it; the same bytes, uploaded again, are the same input.

    Raises MediaRefusedError for what is no whole audio of a known kind, InvalidRequestError when it plays for too
    short or too long, TooManyInputsError, UnavailableError, and whatever ``chunks`` raises. Then nothing is kept.
    """
    fetched = await ports.objects.gather(chunks)
    try:
        return await _kept(ports, fetched)
    finally:
        await to_thread.run_sync(lambda: fetched.path.unlink(missing_ok=True))


async def _kept(ports: Ports, fetched: Fetched) -> Input:
    try:
        # No format is asked for: headerless PCM tells nothing of itself, to a provider neither.
        probed = await to_thread.run_sync(ports.probe, fetched.path, None)
    except MediaInterruptedError as error:
        raise UnavailableError(str(error)) from None
    problem = length_problem(probed.duration_seconds)
    if problem is not None or probed.duration_seconds is None:
        raise InvalidRequestError((FieldProblem("body", problem or "has no length"),))
    now = ports.system.now()
    unused_until = now + ports.limits.unused_input
    known = await ports.store.inputs.renew(fetched.sha256, unused_until)
    if known is not None:
        ports.metrics.count("inputs_known")
        return known
    await check_room(ports, fetched.size)
    new = Input(
        id=ports.system.new_id(),
        sha256=fetched.sha256,
        size=fetched.size,
        duration_seconds=round(probed.duration_seconds, 3),
        media_type=probed.media_type,
        extension=probed.extension,
    )
    # A process that ends between the object and its row leaves a name behind, by which the object is found.
    await ports.store.inputs.promise(object_key(new.id), now + _PROMISE)
    ports.system.checkpoint("upload.after_promise")
    try:
        await ports.objects.keep_file(fetched.path, new.object_key)
    except MediaInterruptedError as error:
        raise UnavailableError(str(error)) from None
    ports.system.checkpoint("upload.after_object")
    kept = await ports.store.inputs.keep(new, now=ports.system.now(), unused_until=unused_until)
    ports.metrics.count("inputs_taken")
    return kept

"""What went over the wire: of each attempt, of a look, of a callback, what was sent and what was answered."""

from starlette.responses import Response
from starlette.routing import Route

from receiver.domain.errors import NotFoundError
from receiver.domain.report import Via
from receiver.domain.task import Task
from receiver.lifecycle import transcript
from receiver.lifecycle.ports import Said
from receiver.web.context import id_of
from receiver.web.dashboard.pages import House, Visit, page
from receiver.web.dashboard.told import OUTCOMES

#: Not shown of what was cut: a secret that the end of what is kept cuts in two would not be known for one.
_END = 2048
_MOST_DIGITS = 9


def routes(house: House) -> list[Route]:
    """Return the routes of this room."""
    return [page(house, "/tasks/{id}/attempts/{ordinal}", GET=show)]


async def show(visit: Visit) -> Response:
    """Show one attempt: its request and its answer."""
    task_id, text = id_of(visit.request, "id"), visit.request.path_params["ordinal"]
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise NotFoundError
    attempt = await visit.ports.store.insight.attempt(task_id, int(text))
    if attempt is None:
        raise NotFoundError
    return visit.render(
        "attempt.html",
        task_id=task_id,
        attempt=attempt,
        outcome="under way" if attempt.outcome is None else OUTCOMES.get(attempt.outcome, attempt.outcome),
        sent=readable(visit, attempt.sent),
        answered=readable(visit, attempt.answered),
    )


def readable(visit: Visit, kept: bytes | None) -> tuple[str, bool] | None:
    """Return what is kept as text without our own tokens and keys, and whether that is not all of it."""
    if kept is None:
        return None
    cut = len(kept) >= transcript.MOST_KEPT
    shown = visit.context.present.redactor.data(kept)
    # Counted from the end: where secrets were taken out, what stands there has moved to the front.
    return (shown[:-_END] if cut else shown).decode("utf-8", "replace"), cut


def asked(visit: Visit, line: Said, task: Task | None) -> tuple[str, str] | None:
    """Return what a report is the answer to, or what it came in, as text, and how exact that is."""
    if line.via is Via.CALLBACK:
        base = (visit.ports.limits.public_url or "").rstrip("/")
        kind = "" if line.content_type is None else f"\ncontent-type: {visit.clean(line.content_type)}"
        return f"POST {base}/callbacks/{line.provider}/{transcript.MASK}{kind}", "Its address, and the kind it said."
    provider = visit.ports.providers.get(line.provider)
    if line.via is not Via.POLL or provider is None or task is None or task.erased_at is not None:
        return None
    shown = readable(visit, transcript.of_poll(provider, task))
    many = provider.most_polled_at_once > 1 and provider.batchable(task)
    note = "This task's part of it: one call asks about several." if many else "As this version asks it."
    return None if shown is None else (shown[0], note)


def answered(line: Said) -> str | None:
    """Return what a callback was answered with; it was kept before."""
    if line.via is not Via.CALLBACK:
        return None
    return f'HTTP 200\n\n{{"status":"{"accepted" if line.duplicate_of is None else "duplicate"}"}}'

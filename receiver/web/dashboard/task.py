"""One task on one page: what happened, why, what came of it, and what can be done about it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from starlette.responses import Response
from starlette.routing import Route

from receiver.domain.billing import Billing, billing
from receiver.domain.errors import InvalidRequestError, NotFoundError, UnavailableError
from receiver.domain.event import EventType
from receiver.domain.hearing import hearing
from receiver.domain.request import InlineAudio
from receiver.domain.result import ArtifactStatus, Result
from receiver.domain.task import Task
from receiver.domain.telling import telling
from receiver.lifecycle import endpoints, operate
from receiver.lifecycle.ports import Caller, DeliveryFilter, RecordedEvent, RuledFilter
from receiver.lifecycle.replay import replay_reports
from receiver.lifecycle.submit import Asked, intend
from receiver.web.audio import given
from receiver.web.context import id_of
from receiver.web.dashboard import reference
from receiver.web.dashboard.errors import PageError
from receiver.web.dashboard.pages import House, Visit, page
from receiver.web.dashboard.score import LINES, score
from receiver.web.dashboard.told import story, timeline, tries
from receiver.web.present import request as request_shown

#: The newest events of a task that are shown; a task has a few dozen, unless its provider is very wrong.
_MOST_EVENTS = 1000
_MOST_REPLAYED = 200
#: Of what is told of a task, the latest that are looked at; there may be thousands of endpoints.
_MOST_DELIVERIES = 500
#: What was done by the form that led here.
_DONE = {
    "refreshed": "It is looked at now.",
    "cancelled": "Nobody waits for it any more.",
    "again": "This is a new task for the same request; it waits to be sent.",
    "redelivered": "Your application is told again, under the ids it knows.",
    "nothing": "There was nothing to tell again: it has not been told yet, or its endpoint is stopped.",
    "replayed": "Its reports were read again, and what that changed is written down.",
}


_TOLD = frozenset({EventType.DELIVERY_SENT, EventType.DELIVERY_FAILED, EventType.DELIVERY_DEAD})


@dataclass(frozen=True, slots=True)
class Shown:
    """A result as the page shows it: ``audio`` is where its bytes are, None when they are not ours to give."""

    result: Result
    audio: str | None
    link: str | None


def routes(house: House) -> list[Route]:
    """Return the routes of this room."""
    return [
        page(house, "/tasks/{id}", GET=show),
        page(house, "/tasks/{id}/results/{result_id}/audio", GET=listen),
        page(house, "/tasks/{id}/refresh", POST=refresh),
        page(house, "/tasks/{id}/cancel", GET=ask_to_cancel, POST=cancel),
        page(house, "/tasks/{id}/again", GET=ask_for_another, POST=another),
        page(house, "/tasks/{id}/redeliver", POST=redeliver),
        page(house, "/tasks/{id}/replay", GET=ask_to_replay, POST=replay),
    ]


async def show(visit: Visit) -> Response:
    """Show what happened to a task."""
    task = await _task(visit)
    store, now = visit.ports.store, visit.ports.system.now()
    events = await store.events(task.id, limit=_MOST_EVENTS)
    reports = await store.reports(task.id)
    pauses = await store.pauses()
    link = _link(visit, task)
    return visit.render(
        "task.html",
        task=task,
        story=story(task),
        billing=_billing(visit, task),
        hearing=_hearing(visit, task),
        telling=await _telling(visit, task, events),
        waits=visit.context.present.waiting_for(task, pauses.get(task.provider)),
        score=score(task, events, now),
        lines=LINES,
        tries=tries(events),
        timeline=timeline(task, events, reports, await store.insight.on_the_wire(task.id)),
        results=[_shown(visit, task, result) for result in sorted(task.results, key=lambda one: one.index)],
        asked=_asked(visit, task),
        reference=link,
        original=await reference.shown(visit, task, link),
        reports=reports,
        # What was to be told of an erased task is gone with it.
        tried_to_tell=task.erased_at is None and any(event.type in _TOLD for event in events),
        done=_DONE.get(visit.request.query_params.get("done", "")),
    )


async def listen(visit: Visit) -> Response:
    """Answer with the audio of a result, for the player on the page: the session is its key.

    Never with a link into the bucket, which the policy of our pages would not let the player follow.
    """
    return await given(visit.context, visit.request, link_seconds=0)


async def refresh(visit: Visit) -> Response:
    """Have a task looked at now."""
    task = await operate.refresh(visit.ports, id_of(visit.request, "id"))
    return visit.go(f"/tasks/{task.id}", done="refreshed")


async def ask_to_cancel(visit: Visit) -> Response:
    """Say what cancelling means before it is done."""
    return visit.render("cancel.html", task=await _task(visit))


async def cancel(visit: Visit) -> Response:
    """Stop waiting for a task."""
    task = await operate.cancel(visit.ports, id_of(visit.request, "id"))
    return visit.go(f"/tasks/{task.id}", done="cancelled")


async def ask_for_another(visit: Visit) -> Response:
    """Say what asking again costs before it is done."""
    return visit.render("again.html", task=await _repeatable(visit), once=visit.nonce)


async def another(visit: Visit) -> Response:
    """Ask for the same again, as a new task. The same form twice is one task."""
    task = await _repeatable(visit)
    audio = task.request.reference_audio
    if isinstance(audio, InlineAudio):
        try:
            audio = (await visit.ports.objects.read(audio.object_key)).decode("ascii")
        except NotFoundError:
            raise PageError(409, "Its reference audio is not kept any more", "Ask for it with the audio.") from None
    key_id = visit.visitor.key_id if visit.visitor else ""
    caller = Caller(key_id, f"again {task.id} {visit.form.get('once', '')[:64]}")
    asked = Asked(replace(task.request, reference_audio=audio), dict(task.metadata), task.deadline_seconds)
    try:
        made, _ = await intend(visit.ports, asked, caller)
    except InvalidRequestError as error:
        raise PageError(422, "It cannot be asked for again as it was", str(error)) from None
    return visit.go(f"/tasks/{made.id}", done="again")


async def redeliver(visit: Visit) -> Response:
    """Have everything that was to be told of a task told again, under the same ids."""
    task = await _task(visit)
    with visit.context.redrives.enter():
        count, _ = await endpoints.redrive(visit.ports, DeliveryFilter(task_id=task.id))
    return visit.go(f"/tasks/{task.id}", done="redelivered" if count else "nothing")


async def ask_to_replay(visit: Visit) -> Response:
    """Show what the stored reports of a task mean today, beside what they meant then."""
    task = await _task(visit)
    wanted = RuledFilter(task_id=task.id, limit=_MOST_REPLAYED)
    with visit.context.replays.enter():
        lines, _ = await replay_reports(visit.ports, wanted, apply=False)
    return visit.render("replay.html", task=task, lines=lines)


async def replay(visit: Visit) -> Response:
    """Let the stored reports of a task mean what they mean today."""
    task = await _task(visit)
    with visit.context.replays.enter():
        await replay_reports(visit.ports, RuledFilter(task_id=task.id, limit=_MOST_REPLAYED), apply=True)
    return visit.go(f"/tasks/{task.id}", done="replayed")


def _billing(visit: Visit, task: Task) -> Billing:
    adapter = visit.ports.providers.get(task.provider)
    if adapter is None:
        return billing(task, recovery=None, bills_failures=None)
    return billing(task, recovery=adapter.recovery, bills_failures=adapter.bills_failures)


def _hearing(visit: Visit, task: Task) -> str:
    adapter = visit.ports.providers.get(task.provider)
    return hearing(
        task,
        visit.ports.system.now(),
        pushes=adapter is not None and adapter.pushes,
        unheard=task.provider in visit.ports.schedules.unheard,
    )


async def _telling(visit: Visit, task: Task, events: Sequence[RecordedEvent]) -> str:
    outbox = visit.ports.store.outbox
    found = await outbox.deliveries(DeliveryFilter(task_id=task.id, limit=_MOST_DELIVERIES))
    return telling(
        task,
        found,
        {each.id: each for each in await outbox.endpoints()},
        told_before=any(event.type == EventType.DELIVERY_SENT for event in events),
        whole=len(found) < _MOST_DELIVERIES,
    )


async def _task(visit: Visit) -> Task:
    task = await visit.ports.store.task(id_of(visit.request, "id"))
    if task is None:
        raise NotFoundError
    return task


async def _repeatable(visit: Visit) -> Task:
    task = await _task(visit)
    if task.request.adopted or task.erased_at is not None:
        raise PageError(409, "What was asked for is not known", "It was started elsewhere, or it has been erased.")
    return task


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)


def _shown(visit: Visit, task: Task, result: Result) -> Shown:
    stored = result.artifact.status is ArtifactStatus.STORED
    audio = visit.url(f"/tasks/{task.id}/results/{result.id}/audio") if stored else None
    return Shown(result, audio, _outward(visit, result.link))


def _link(visit: Visit, task: Task) -> str | None:
    asked = task.request.reference_audio
    return None if isinstance(asked, InlineAudio) else _outward(visit, asked)


def _outward(visit: Visit, link: str | None) -> str | None:
    """Return a link to elsewhere that may be followed; None for what is no plain https link."""
    if link is None or not link.startswith("https://") or not link.isprintable() or " " in link:
        return None
    return visit.clean(link)


def _asked(visit: Visit, task: Task) -> Mapping[str, str]:
    """Return what was asked for, name by name, as text."""
    shown = visit.context.present.redactor.value(request_shown(task.request, task.deadline_seconds))
    if not isinstance(shown, dict):
        raise UnavailableError("a request cannot be shown")
    return {
        str(name).replace("_", " "): _plain(value)
        for name, value in shown.items()
        if value is not None and value != {}
    }

"""Callbacks: what providers said, what was made of it and why, and who came to the door with no address of ours."""

from collections.abc import Mapping
from uuid import UUID

from starlette.responses import Response
from starlette.routing import Route

from receiver.domain.errors import NotFoundError
from receiver.domain.report import Verdict
from receiver.lifecycle.ports import Said, SaidFilter
from receiver.web.context import id_of
from receiver.web.dashboard import wire
from receiver.web.dashboard.differing import parts
from receiver.web.dashboard.pages import House, Visit, page
from receiver.web.doorbook import Stranger
from receiver.web.reports import saved

_SHOWN = 50
#: So much of a body is shown; whoever wants the rest saves it.
MOST_SHOWN = 16 * 1024
#: The listings to choose from: the word in the address, the words on the page, what is listed.
_LISTINGS: Mapping[str, tuple[str, SaidFilter]] = {
    "all": ("All callbacks", SaidFilter(limit=_SHOWN)),
    "aside": ("Set aside", SaidFilter(set_aside=True, limit=_SHOWN)),
    "repeats": ("Repeats", SaidFilter(verdict=Verdict.DUPLICATE, limit=_SHOWN)),
}
#: A verdict as it stands on a page: its words, and how much it asks to be looked at.
VERDICTS: Mapping[Verdict | None, tuple[str, str]] = {
    Verdict.SETTLED: ("accepted", "good"),
    Verdict.DUPLICATE: ("duplicate", ""),
    Verdict.CONFLICT: ("conflict", "heed"),
    Verdict.QUARANTINED: ("quarantined", "heed"),
    None: ("not read yet", ""),
}
#: What to do about those who are turned away, where something is to be done.
_ADVICE: Mapping[Stranger, str] = {
    Stranger.FORGED: (
        "Where callbacks fail to come besides: the keys in RECEIVER_SIGNING_KEYS are not those that URLs were made "
        "with, or a provider calls another installation's URLs here."
    ),
    Stranger.OUTDATED: "A key that was taken out of RECEIVER_SIGNING_KEYS, or callbacks more than a week late.",
    Stranger.NO_TOKEN: "A proxy or a tunnel that changes the path: receiver doctor tells.",
    Stranger.NO_ADDRESS: "Passers-by; or a proxy that does not strip its own prefix: receiver doctor tells.",
}
#: What became of callbacks that were not taken, in words.
_REFUSED: Mapping[str, str] = {
    "fault": "our own fault: answered 503, to be sent again",
    "no_room": "too many large ones at once: answered 503, to be sent again",
    "too_large": "larger than RECEIVER_MAX_CALLBACK_BYTES: the task was looked at instead",
    "too_many": "more than 64 different bodies for one task: the task was looked at instead",
    "too_slow": "not complete within RECEIVER_CALLBACK_BODY_SECONDS",
    "broken_off": "broken off by the caller",
}


def routes(house: House) -> list[Route]:
    """Return the routes of this room. Not below /callbacks: that is the door of the providers."""
    return [
        page(house, "/reports", GET=listing),
        page(house, "/reports/{id}", GET=one),
        page(house, "/reports/{id}/raw", GET=raw),
    ]


async def listing(visit: Visit) -> Response:
    """Show what was said lately, and who was turned away."""
    query = visit.request.query_params
    chosen = query.get("show", "all")
    if chosen not in _LISTINGS:
        raise NotFoundError
    provider = query.get("provider") if query.get("provider") in visit.ports.providers else None
    before = _id(query.get("before"))
    _, wanted = _LISTINGS[chosen]
    lines, following = await visit.ports.store.insight.said(
        SaidFilter(
            set_aside=wanted.set_aside, verdict=wanted.verdict, provider=provider, before=before, limit=wanted.limit
        )
    )
    book = visit.context.book
    return visit.render(
        "said.html",
        lines=lines,
        following=following,
        before=before,
        chosen=chosen,
        provider=provider,
        providers=list(visit.ports.providers),
        listings={name: words for name, (words, _) in _LISTINGS.items()},
        verdicts=VERDICTS,
        book=book,
        door="callbacks" in visit.context.config.roles,
        came={name: _came(visit, name) for name in ("accepted", "duplicate")},
        refused=[(words, count) for name, words in _REFUSED.items() if (count := _came(visit, name))],
        strangers=[(why, count, _ADVICE.get(why)) for why, count in book.strangers.most_common()],
    )


async def one(visit: Visit) -> Response:
    """Show one report: what was made of it, and its words with those marked that differ."""
    line = await _line(visit)
    report = await visit.ports.store.report(line.id)
    if report is None:
        raise NotFoundError
    shown = None
    if report.object_key is None:
        shown = parts(visit.context.present.redactor.data(report.body)[:MOST_SHOWN], line.reason)
    task = None if line.task_id is None else await visit.ports.store.task(line.task_id)
    return visit.render(
        "report.html",
        line=line,
        parts_of=shown,
        verdicts=VERDICTS,
        cut=report.size > MOST_SHOWN,
        most=MOST_SHOWN,
        asked=wire.asked(visit, line, task),
        answered=wire.answered(line),
    )


async def raw(visit: Visit) -> Response:
    """Answer with the body of a report, to be saved and not shown."""
    return await saved(visit.context, id_of(visit.request, "id"))


async def _line(visit: Visit) -> Said:
    line = await visit.ports.store.insight.said_once(id_of(visit.request, "id"))
    if line is None:
        raise NotFoundError
    return line


def _came(visit: Visit, outcome: str) -> int:
    return sum(count for (_, of), count in visit.context.book.outcomes.items() if of == outcome)


def _id(text: str | None) -> UUID | None:
    try:
        return UUID(text or "")
    except ValueError:
        return None

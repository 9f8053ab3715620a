"""Deliveries: who is told, what has arrived, what has not and why, and having it sent again."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.routing import Route

from receiver.domain.delivery import DeliveryError, DeliveryStatus
from receiver.domain.endpoint import BY_HAND, NOT_CONFIGURED, Endpoint, EndpointStatus
from receiver.domain.errors import InvalidRequestError, NotFoundError
from receiver.lifecycle import endpoints
from receiver.lifecycle.endpoints import ConfiguredEndpointError
from receiver.lifecycle.ports import MOST_COUNTED, Backlog, DeliveryFilter
from receiver.web.context import id_of
from receiver.web.dashboard.errors import PageError
from receiver.web.dashboard.pages import House, Visit, page
from receiver.web.present import masked

_SHOWN = 50
#: Endpoints that are shown each with all there is; more of them are rows of a list, so many on a page.
_CARDS = 4
_ROWS = 25
_LONGEST_SEARCH = 200
#: In a list those come first that need somebody.
_TROUBLE = (EndpointStatus.STOPPED, EndpointStatus.PAUSED)
#: How long a secret that was replaced here goes on signing beside the new one.
OVERLAP = timedelta(days=1)
#: The listings to choose from: the word in the address, the words on the page.
_LISTINGS: Mapping[str, str] = {"all": "All", "dead": "Dead", "pending": "On their way", "sent": "Arrived"}
#: Why an attempt failed, for people.
WORDS: Mapping[str, str] = {
    DeliveryError.STATUS: "the endpoint answered, and not with a 2xx",
    DeliveryError.REDIRECT: "the endpoint answered with a redirect, which is never followed",
    DeliveryError.GONE: "the endpoint answered 410: it wants nothing any more",
    DeliveryError.TIMEOUT: "the endpoint did not answer in time",
    DeliveryError.CONNECTION: "no connection to the endpoint",
    DeliveryError.NAME: "the name of its host has no address",
    DeliveryError.TLS: "no secure connection: its certificate was not accepted",
    DeliveryError.ANSWER: "the answer broke off, or was no HTTP",
    DeliveryError.FORBIDDEN: "an address that we do not call",
    DeliveryError.SECRET: "its secret cannot be read with the signing keys that there are: give it a new one",
    DeliveryError.RESULT_GONE: "another result has taken the place of what it was to tell of",
    DeliveryError.EXPIRED: "it waited too long for a paused endpoint",
    DeliveryError.STOPPED: "its endpoint was stopped",
    BY_HAND: "somebody paused it",
    NOT_CONFIGURED: "RECEIVER_NOTIFY_URL names it no more",
}
_DONE: Mapping[str, str] = {
    "paused": "Nothing is sent to it until somebody resumes it; what happens meanwhile waits.",
    "resumed": "It is sent to again, beginning with what waits for it.",
    "removed": "It is told nothing any more, and what was on its way to it is not sent.",
    "none": "There was none to be sent again; those of a stopped endpoint stay as they are.",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """An endpoint as the page shows it: what its address may hold of a secret is masked."""

    endpoint: Endpoint
    backlog: Backlog
    url: str


@dataclass(frozen=True, slots=True)
class Directory:
    """Which of all endpoints a page shows, as cards or as rows; ``fitting`` have the address that is looked for."""

    known: int
    on_page: Sequence[Endpoint]
    are_cards: bool
    fitting: int = 0
    search: str = ""
    page: int = 1
    last: int = 1


def routes(house: House) -> list[Route]:
    """Return the routes of this room."""
    return [
        page(house, "/deliveries", GET=listing),
        page(house, "/deliveries/redrive", GET=ask_to_redrive, POST=redrive),
        page(house, "/deliveries/endpoints/{id}/pause", POST=pause),
        page(house, "/deliveries/endpoints/{id}/resume", POST=resume),
        page(house, "/deliveries/endpoints/{id}/test", POST=test),
        page(house, "/deliveries/endpoints/{id}/rotate", GET=ask_to_rotate, POST=rotate),
    ]


def why(error: str, status: int | None) -> str:
    """Return why an attempt failed, with what was answered where something was."""
    if status is None or error == DeliveryError.GONE:
        return WORDS.get(error, error)
    return (
        f"the endpoint answered {status}"
        if error == DeliveryError.STATUS
        else f"{WORDS.get(error, error)} ({status})"
    )


async def listing(visit: Visit) -> Response:
    """Show the endpoints and what went, goes or should have gone to them."""
    query = visit.request.query_params
    chosen = query.get("show", "all")
    if chosen not in _LISTINGS:
        raise NotFoundError
    known = await visit.ports.store.outbox.endpoints()
    endpoint_id = _id(query.get("endpoint"))
    if endpoint_id not in {each.id for each in known}:
        endpoint_id = None
    directory = _directory(known, query, endpoint_id)
    wanted = DeliveryFilter(
        endpoint_id=endpoint_id,
        status=None if chosen == "all" else DeliveryStatus(chosen),
        before_id=_id(query.get("before")),
        limit=_SHOWN + 1,
    )
    found = await visit.ports.store.outbox.deliveries(wanted)
    sent = query.get("sent", "")
    return visit.render(
        "deliveries.html",
        endpoints=await _with_backlogs(visit, directory.on_page),
        directory=directory,
        statuses=Counter(each.status.value for each in known),
        addresses={each.id: masked(each.url) or "" for each in known},
        deliveries=found[:_SHOWN],
        following=found[_SHOWN - 1].id if len(found) > _SHOWN else None,
        before=wanted.before_id,
        chosen=chosen,
        of_endpoint=endpoint_id,
        listings=_LISTINGS,
        words=WORDS,
        why=why,
        done=_DONE.get(query.get("done", "")),
        sent=int(sent) if sent.isascii() and sent.isdigit() and len(sent) < 7 else None,  # noqa: PLR2004 - digits of a count
    )


async def pause(visit: Visit) -> Response:
    """Send nothing to an endpoint for now."""
    await endpoints.pause(visit.ports, id_of(visit.request, "id"))
    return visit.go("/deliveries", done="paused")


async def resume(visit: Visit) -> Response:
    """Send to an endpoint again."""
    await endpoints.resume(visit.ports, id_of(visit.request, "id"))
    return visit.go("/deliveries", done="resumed")


async def test(visit: Visit) -> Response:
    """Try an endpoint, and show what came of it."""
    shown = await one(visit)
    with visit.context.trials.enter():
        told = await endpoints.test(visit.ports, shown.endpoint.id)
    return visit.render("endpoint_test.html", of=shown, told=told, why=why)


async def ask_to_rotate(visit: Visit) -> Response:
    """Say what a new secret means before there is one."""
    return visit.render("endpoint_rotate.html", of=await one(visit), secret=None, overlap=OVERLAP)


async def rotate(visit: Visit) -> Response:
    """Give an endpoint a new secret, and show it this once."""
    shown = await one(visit)
    try:
        _, secret = await endpoints.rotate(visit.ports, shown.endpoint.id, None, OVERLAP)
    except ConfiguredEndpointError:
        raise PageError(
            409,
            "Its secret is a setting",
            "Give it a new one with RECEIVER_NOTIFY_SECRET: several sign, the first is new.",
        ) from None
    except InvalidRequestError:
        raise PageError(
            409,
            "As many of its secrets sign as may at once",
            "Wait until the first of them ends, or end them all now: receiver endpoints rotate --overlap 0.",
        ) from None
    return visit.render("endpoint_rotate.html", of=shown, secret=secret, overlap=OVERLAP)


async def ask_to_redrive(visit: Visit) -> Response:
    """Say what sending all dead ones again means before it is done."""
    of = await _chosen(visit, visit.request.query_params.get("endpoint"))
    dead = [each.backlog.dead for each in ([of] if of else await _endpoints(visit))]
    # Of several endpoints none may have more than are counted, though all together do.
    most = MOST_COUNTED if max(dead, default=0) >= MOST_COUNTED else math.inf
    return visit.render("redrive.html", of=of, dead=sum(dead), most=most)


async def redrive(visit: Visit) -> Response:
    """Have one delivery sent again, or all that are dead."""
    wanted = DeliveryFilter(status=DeliveryStatus.DEAD)
    single, of = _id(visit.form.get("id")), await _chosen(visit, visit.form.get("endpoint"))
    if single is not None:
        wanted = DeliveryFilter(delivery_id=single)
    elif of is not None:
        wanted = replace(wanted, endpoint_id=of.endpoint.id)
    with visit.context.redrives.enter():
        count, _ = await endpoints.redrive(visit.ports, wanted)
    return visit.go("/deliveries", sent=str(count)) if count else visit.go("/deliveries", done="none")


def _directory(known: Sequence[Endpoint], query: QueryParams, chosen: UUID | None) -> Directory:
    """Choose which endpoints are shown: the one that was chosen, all where they are few, else a page of them."""
    if chosen is not None:
        return Directory(len(known), [each for each in known if each.id == chosen], are_cards=True)
    search = query.get("url", "").strip()[:_LONGEST_SEARCH]
    # By what is shown of it: a search is not to find out a secret letter by letter.
    fitting = [each for each in known if search.lower() in (masked(each.url) or "").lower()]
    if len(known) <= _CARDS:
        return Directory(len(known), list(known), are_cards=True)
    fitting.sort(key=lambda each: (each.status not in _TROUBLE, -each.failures, each.url))
    page = query.get("page", "")
    number = int(page) if page.isascii() and page.isdigit() and len(page) < 6 else 1  # noqa: PLR2004 - digits of a page
    last = max(1, -(-len(fitting) // _ROWS))
    number = min(max(number, 1), last)
    rows = fitting[(number - 1) * _ROWS : number * _ROWS]
    return Directory(len(known), rows, are_cards=False, fitting=len(fitting), search=search, page=number, last=last)


async def _endpoints(visit: Visit) -> list[Shown]:
    return await _with_backlogs(visit, await visit.ports.store.outbox.endpoints())


async def _with_backlogs(visit: Visit, these: Sequence[Endpoint]) -> list[Shown]:
    backlogs = await visit.ports.store.outbox.backlogs([endpoint.id for endpoint in these])
    return [Shown(endpoint, backlogs[endpoint.id], masked(endpoint.url) or "") for endpoint in these]


async def one(visit: Visit) -> Shown:
    """Return the endpoint that a path names. Raises NotFoundError."""
    endpoint_id = id_of(visit.request, "id")
    found = await visit.ports.store.outbox.endpoint(endpoint_id)
    if found is None:
        raise NotFoundError
    return (await _with_backlogs(visit, [found]))[0]


async def _chosen(visit: Visit, text: str | None) -> Shown | None:
    """Return the endpoint that is named, None where none is. Raises NotFoundError for one that is not there."""
    if not text:
        return None
    found = next((each for each in await _endpoints(visit) if str(each.endpoint.id) == text), None)
    if found is None:
        raise NotFoundError
    return found


def _id(text: str | None) -> UUID | None:
    try:
        return UUID(text or "")
    except ValueError:
        return None

"""An endpoint is added, and taken away: where the application is told what happens."""

from collections.abc import Mapping

from starlette.responses import Response
from starlette.routing import Route

from receiver.domain.delivery import TOLD_OF
from receiver.domain.errors import InvalidRequestError
from receiver.lifecycle import endpoints
from receiver.lifecycle.endpoints import ConfiguredEndpointError
from receiver.lifecycle.ports import EndpointTakenError, TooManyEndpointsError
from receiver.lifecycle.posting import LONGEST_URL
from receiver.web.context import id_of
from receiver.web.dashboard.deliveries import one
from receiver.web.dashboard.errors import PageError
from receiver.web.dashboard.pages import House, Visit, page
from receiver.web.present import masked

#: What each type tells, for whoever chooses among them.
_TYPES: Mapping[str, str] = {
    "task.succeeded": "all of its audio is stored",
    "task.partial": "some of it is",
    "task.failed": "there is none",
    "task.lost": "its provider never told",
    "task.found": "it did after all",
    "task.cancelled": "somebody stopped waiting",
    "result.stored": "one more audio file is stored",
}


def routes(house: House) -> list[Route]:
    """Return the routes of this room."""
    return [
        page(house, "/deliveries/endpoints", GET=ask_to_add, POST=add),
        page(house, "/deliveries/endpoints/{id}/remove", GET=ask_to_remove, POST=remove),
    ]


async def ask_to_add(visit: Visit) -> Response:
    """Ask where the application wants to be told, and of what."""
    return _form(visit, "", [kind.value for kind in TOLD_OF], {})


async def add(visit: Visit) -> Response:
    """Register an endpoint, and show its secret this once; what is wrong with it is said where it stands."""
    url, chosen = visit.form.get("url", "").strip(), visit.form.getlist("type")
    # All of them is everything: what is told of one day later, too.
    types = None if len(set(chosen)) == len(TOLD_OF) else chosen
    try:
        endpoint, secret = await endpoints.add(visit.ports, url, types)
    except InvalidRequestError as error:
        return _form(visit, url, chosen, {problem.field: problem.message for problem in error.problems})
    except EndpointTakenError:
        return _form(visit, url, chosen, {"url": "is told already: it is in the list"})
    except TooManyEndpointsError:
        return _form(visit, url, chosen, {"url": "is one too many: take one away first"})
    return visit.render("endpoint_added.html", url_of=masked(endpoint.url) or "", secret=secret, endpoint=endpoint)


async def ask_to_remove(visit: Visit) -> Response:
    """Say what taking an endpoint away means before it is done."""
    return visit.render("endpoint_remove.html", of=await one(visit))


async def remove(visit: Visit) -> Response:
    """Tell an endpoint nothing any more."""
    try:
        await endpoints.remove(visit.ports, id_of(visit.request, "id"))
    except ConfiguredEndpointError:
        raise PageError(
            409, "It is a setting", "Take RECEIVER_NOTIFY_URL out of the settings and start again, or pause it."
        ) from None
    return visit.go("/deliveries", done="removed")


def _form(visit: Visit, url: str, chosen: list[str], wrong: Mapping[str, str]) -> Response:
    return visit.render(
        "endpoint_add.html",
        422 if wrong else 200,
        address=url[:LONGEST_URL],
        types=_TYPES,
        chosen=set(chosen),
        wrong=wrong,
        longest=LONGEST_URL,
    )

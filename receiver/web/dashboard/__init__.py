"""The dashboard: what happened to my song, answered on pages for people.

How a page is added. A module of this folder holds its endpoints, ``async def show(visit: Visit) -> Response``,
and its ``routes(house: House) -> list[Route]`` made with ``page(house, path, GET=show, POST=act)``. It is named in
``ROOMS`` below, and what the bar on top leads to also in ``NAVIGATION``. (Paths that begin with ``/callbacks`` and
``/inputs`` belong to the public side.) ``visit.render("name.html", **values)`` answers with a template of
``templates/`` that extends ``layout.html``. ``page`` sees to it that only who is signed in comes in, that a form was
made on a page of ours in this session, that each answer has its policy, and that every error becomes a page: raise
what the interface raises (``NotFoundError``, ``ProblemError``, ``UnavailableError``), or ``errors.PageError``.

In templates every value is escaped. ``clean(text)`` around each string that a stranger wrote takes our own tokens and
keys out; the class ``foreign`` keeps its length and direction from breaking the page. ``url("/tasks")`` makes every
link of our own, ``url(asset("app.css"))`` one to a file of ``static/``; ``{{ parts.csrf() }}`` stands in every form
that posts. The filters are those of ``words`` (``span``, ``ago``, ``moment``, ``money``, ``amount``, ``share``); the
macros those of ``parts.html`` (``status``, ``when``, ``id``, ``nothing`` for an empty list with what to do next).
What is to stay up to date stands in ``<div {{ parts.live("some-id") }}>``: the page is asked for again every few
seconds while it is looked at, and that part of it put in its place. A table of the class ``cards`` turns into cards
on a narrow screen, its cells named by ``data-label``. Scripts and styles are files of ``static/``: an inline style or
handler is refused by the browser. Places in a drawing are attributes of SVG, in percent where text must not shrink.

Nothing is read but through ``visit.ports``; nothing is changed but by a verb of the lifecycle.
"""

from starlette.routing import Route

from receiver.web.context import Context
from receiver.web.dashboard import (
    assets,
    deliveries,
    endpoints,
    login,
    overview,
    providers,
    reference,
    said,
    task,
    tasks,
    wire,
)
from receiver.web.dashboard.pages import House
from receiver.web.dashboard.session import Sessions

__all__ = ["NAVIGATION", "House", "opened", "routes"]

#: What the bar on top leads to: the words, and the path that every page of that room begins with.
NAVIGATION = (
    ("Overview", "/"),
    ("Tasks", "/tasks"),
    ("Callbacks", "/reports"),
    ("Deliveries", "/deliveries"),
    ("Providers", "/providers"),
)
#: The rooms, each with its routes.
ROOMS = (login, overview, tasks, task, reference, wire, said, endpoints, deliveries, providers)


def opened(context: Context) -> House:
    """Return the dashboard over the same ports as the interface."""
    return House(context, Sessions(context.keys, context.ports), NAVIGATION)


def routes(house: House) -> list[Route]:
    """Return the routes of all pages, and of the files that they are made with."""
    return [*assets.routes(), *(each for room in ROOMS for each in room.routes(house))]

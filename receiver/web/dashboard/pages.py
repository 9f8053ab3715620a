"""What every page goes through: who is signed in, where a form comes from, the policy, and errors as pages."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from receiver.lifecycle.ports import Ports
from receiver.web.bodies import TooLargeError, TooSlowError, read_body
from receiver.web.context import TEMPLATE, Context
from receiver.web.dashboard.errors import STALE_FORM, STRANGE_FORM, PageError, told
from receiver.web.dashboard.paper import TEMPLATES
from receiver.web.dashboard.routing import PageRoute
from receiver.web.dashboard.session import Sessions, Visitor
from receiver.web.faults import log_fault
from receiver.web.problems import BrokenOffError

_log = logging.getLogger("receiver.web")

#: A form is a few words, a search or a note.
LARGEST_FORM = 64 * 1024
_MOST_FIELDS = 100
_FORM_SECONDS = 20.0
#: Marks a part that a page asks for anew while it is open.
_LIVE = "hx-request"
#: What stands under these is for programs.
_NO_PAGES = ("/v1/", "/inputs/")
#: The field of every form that names the session it was made in.
CSRF_FIELD = "csrf"

#: What a form holds; a name may come several times.
Form = ImmutableMultiDict[str, str]


@dataclass(frozen=True)
class House:
    """What all pages share."""

    context: Context
    sessions: Sessions
    navigation: tuple[tuple[str, str], ...]

    @cached_property
    def root(self) -> str:
        """What stands before every path of ours: that of the address callers know, whose proxy strips it."""
        return urlsplit(self.context.config.api_url or "").path.rstrip("/")


@dataclass(frozen=True, slots=True)
class Visit:
    """One request for a page. ``visitor`` is None where no session is needed; ``form`` holds what was posted."""

    house: House
    request: Request
    visitor: Visitor | None
    nonce: str
    form: Form = field(default_factory=ImmutableMultiDict)

    @property
    def context(self) -> Context:
        """What the interface shares."""
        return self.house.context

    @property
    def ports(self) -> Ports:
        """The world."""
        return self.house.context.ports

    def clean(self, text: str) -> str:
        """Return a stranger's text without our own tokens and keys."""
        return self.house.context.present.redactor.text(text)

    def url(self, path: str, **query: str | None) -> str:
        """Return an address of ours; what is None is left out of the query."""
        asked = urlencode(
            {name: value for name, value in query.items() if value is not None}, safe="/", quote_via=quote
        )
        return self.house.root + path + (f"?{asked}" if asked else "")

    def render(self, template: str, status: int = 200, **values: object) -> Response:
        """Answer with a page."""
        path = self.request.url.path
        body = TEMPLATES.get_template(template).render(
            visitor=self.visitor,
            csrf_token=self.visitor.csrf if self.visitor else "",
            nonce=self.nonce,
            url=self.url,
            clean=self.clean,
            path=path,
            navigation=self.house.navigation,
            now=self.ports.system.now(),
            **values,
        )
        return Response(body.encode("utf-8", "replace"), status, media_type="text/html; charset=utf-8")

    def go(self, path: str, **query: str | None) -> Response:
        """Send the browser on to another page, after a form."""
        return RedirectResponse(self.url(path, **query), 303)


Endpoint = Callable[[Visit], Awaitable[Response]]


def page(house: House, path: str, *, is_open: bool = False, **endpoints: Endpoint) -> PageRoute:
    """Return the route of a page, an endpoint for each method; with ``is_open`` it needs no session."""

    async def answer(request: Request) -> Response:
        request.scope[TEMPLATE] = path
        method = "GET" if request.method == "HEAD" else request.method
        return await _answer(house, request, endpoints[method], is_open=is_open)

    return PageRoute(path, answer, methods=list(endpoints))


def asks_for_page(request: Request) -> bool:
    """Tell whether who asks is a browser that will show the answer; the interface for programs has no pages.

    Nor has the public side: whoever knows no more than its name is not to learn of a page to sign in at.
    """
    path = request.url.path
    return "text/html" in request.headers.get("accept", "") and path != "/v1" and not path.startswith(_NO_PAGES)


async def missing(house: House, request: Request, error: Exception) -> Response:
    """Answer to an address where there is nothing, or that takes no such method."""

    async def refuse(_: Visit) -> Response:
        raise error

    return await _answer(house, request, refuse, is_open=True, reads_form=False)


async def _answer(
    house: House, request: Request, endpoint: Endpoint, *, is_open: bool, reads_form: bool = True
) -> Response:
    nonce = house.context.ports.system.new_id().hex
    visit = Visit(house, request, None, nonce)
    try:
        visit = Visit(house, request, await house.sessions.visitor(request), nonce)
        if request.method == "POST" and reads_form:
            visit = await _with_form(visit, needs_token=not is_open)
        response = await endpoint(visit) if visit.visitor or is_open else _sign_in(visit)
    except BrokenOffError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, a person is shown a page
        words = told(error)
        if words.fault:
            log_fault(_log, "page_fault", error, route=str(request.scope.get(TEMPLATE, "other")), status=words.status)
        response = visit.render("error.html", words.status, words=words)
        response.headers.update(words.headers)
    _protect(response, nonce)
    return response


def _sign_in(visit: Visit) -> Response:
    """Answer to somebody who has to sign in first, or whose session is over."""
    request = visit.request
    if request.method != "GET":
        raise STALE_FORM
    if _LIVE in request.headers:
        return Response("", 401, media_type="text/html")
    if request.headers.get("sec-fetch-site") == "cross-site":
        # The cookie is not sent along with a link on another site; it is with a step from here.
        return visit.render("step.html", target=visit.url(request.url.path) + _query(request))
    path = request.url.path + _query(request)
    return visit.go("/login", next=None if path == "/" else path)


def _query(request: Request) -> str:
    return f"?{request.url.query}" if request.url.query else ""


async def _with_form(visit: Visit, *, needs_token: bool) -> Visit:
    """Read a form; raise PageError for one that was not made on a page of ours, in this session."""
    if not _is_from_here(visit.request, visit.context.config.api_url):
        raise STRANGE_FORM
    form = await _form(visit)
    if needs_token and (visit.visitor is None or not visit.visitor.sent(form.get(CSRF_FIELD, ""))):
        raise STALE_FORM
    return Visit(visit.house, visit.request, visit.visitor, visit.nonce, form)


def _is_from_here(request: Request, api_url: str | None) -> bool:
    """Tell whether a browser says that a form stood on a page of ours; every browser says where it stood."""
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    origin = urlsplit(request.headers.get("origin", ""))
    ours = {request.headers.get("host", "").lower(), urlsplit(api_url or "").netloc.lower()}
    return origin.scheme in {"http", "https"} and origin.netloc.lower() in ours - {""}


async def _form(visit: Visit) -> Form:
    request = visit.request
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise STRANGE_FORM
    with visit.context.room.share() as share:
        try:
            body = await read_body(request.scope, request.receive, share, limit=LARGEST_FORM, seconds=_FORM_SECONDS)
        except (TooLargeError, TooSlowError):
            raise PageError(413, "That form is too large", "It did not arrive whole.") from None
    if body is None:
        raise BrokenOffError
    try:
        return ImmutableMultiDict(
            parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        )
    except ValueError:
        raise STRANGE_FORM from None


def _protect(response: Response, nonce: str) -> None:
    """Set what tells the browser how little a page may do."""
    policy = (
        "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; "
        "style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
        f"script-src 'nonce-{nonce}'"
    )
    headers = {
        "Content-Security-Policy": policy,
        # Not "no-referrer": a browser would then not say where a form stood.
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Vary": "Cookie",
    }
    for name, value in headers.items():
        response.headers.setdefault(name, value)

"""Signing in with an API key, and out."""

import re

from starlette.responses import Response
from starlette.routing import Route

from receiver.web.auth import peer_of
from receiver.web.dashboard.pages import House, Visit, page

#: Where one may be sent after signing in: a path of ours, never a host.
_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]{0,2000}")


def routes(house: House) -> list[Route]:
    """Return the routes of this room."""
    return [
        page(house, "/login", is_open=True, GET=show, POST=sign_in),
        page(house, "/signed-in", is_open=True, GET=check),
        page(house, "/logout", POST=sign_out),
    ]


async def show(visit: Visit) -> Response:
    """Ask for a key; whoever is signed in already is sent on."""
    query = visit.request.query_params
    if visit.visitor is not None:
        return visit.go("/")
    return _form(visit, wanted=_wanted(query.get("next")), was_out="out" in query)


async def sign_in(visit: Visit) -> Response:
    """Open a session for who has a key. A good key is always taken, a wrong one counts like any wrong key."""
    house, request = visit.house, visit.request
    wanted = _wanted(visit.form.get("next"))
    key_id = house.sessions.key_id(visit.form.get("key", ""))
    if key_id is None:
        attempts, peer = house.context.attempts, peer_of(request.scope)
        wait = attempts.wait(peer)
        if wait:
            answer = _form(
                visit, wanted, status=429, problem=f"Too many wrong keys came from your address: {wait} s."
            )
            answer.headers["Retry-After"] = str(wait)
            return answer
        attempts.failed(peer)
        return _form(visit, wanted, status=401, problem="This key is not one of ours.")
    response = visit.go("/signed-in", next=wanted)
    await house.sessions.open(request, response, key_id)
    return response


async def check(visit: Visit) -> Response:
    """Send whoever has just signed in on, or say why the browser did not keep the session."""
    wanted = _wanted(visit.request.query_params.get("next"))
    if visit.visitor is None:
        problem = (
            "Your browser did not keep the session. It keeps one over https, and over plain http only from this very "
            "machine: open http://localhost instead, or put https in front of the service."
        )
        return _form(visit, wanted, status=403, problem=problem)
    response = visit.go("/")
    response.headers["Location"] = visit.house.root + wanted
    return response


async def sign_out(visit: Visit) -> Response:
    """End the session."""
    response = visit.go("/login", out="1")
    await visit.house.sessions.close(visit.request, response)
    return response


def _form(visit: Visit, wanted: str, *, status: int = 200, problem: str = "", was_out: bool = False) -> Response:
    return visit.render("login.html", status, wanted=wanted, problem=problem, was_out=was_out)


def _wanted(path: str | None) -> str:
    return path if path is not None and _PATH.fullmatch(path) else "/"

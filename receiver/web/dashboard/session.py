"""Who is signed in: a cookie that names a key and a moment, and the token that forms of that session carry."""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from receiver.domain.token import Purpose
from receiver.lifecycle.ports import Ports
from receiver.web.auth import Keys

LIFETIME = timedelta(hours=12)
#: No provider takes part in a session.
_PROVIDER = ""
_PORT = re.compile(r":([0-9]{1,5})$")


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is signed in: the id of the key, and what each form of this session must carry."""

    key_id: str
    csrf: str = field(repr=False)

    def sent(self, token: str) -> bool:
        """Tell whether a form was made in this session."""
        return hmac.compare_digest(self.csrf.encode(), token.encode("utf-8", "replace"))


class Sessions:
    """Opens and recognises sessions. A cookie holds the name of a key, never the key, signed and for a time.

    It is a token like every other of ours, of a purpose of its own: the same signing keys and their rotation, the
    same clock, nothing to store while it lasts, and every process that shares the keys knows it. It names the key by
    a digest of its secret, so a session ends when its key is removed or changed. Signing out ends it for whoever else
    may hold a copy of the cookie, too: what is kept of that is forgotten when it would have ended by itself.
    """

    def __init__(self, keys: Keys, ports: Ports) -> None:
        """Take the keys that open."""
        self._keys = keys
        self._ids = keys.subjects()
        self._subjects = {name: subject for subject, name in self._ids.items()}
        self._ports = ports

    def key_id(self, presented: str) -> str | None:
        """Return the id of a key as somebody typed it, None when it is none of ours."""
        return self._keys.holder(presented.strip().encode("utf-8", "replace"))

    async def open(self, request: Request, response: Response, key_id: str) -> None:
        """Have the browser keep a new session. Raises UnavailableError."""
        expires_at = self._ports.system.now() + LIFETIME
        token = self._issue(key_id, expires_at)
        # Whoever signs out and in again within a second is not to be given what was just ended.
        while await self._ports.store.sessions.ended(_digest(token)):
            expires_at -= timedelta(seconds=1)
            token = self._issue(key_id, expires_at)
        _keep(request, response, token, LIFETIME)

    async def close(self, request: Request, response: Response) -> None:
        """End the session, and have the browser forget it. Raises UnavailableError."""
        token = request.cookies.get(cookie_name(request))
        now = self._ports.system.now()
        if token is not None:
            await self._ports.store.sessions.end(_digest(token), until=now + LIFETIME, now=now)
        _keep(request, response, "", timedelta(0))

    async def visitor(self, request: Request) -> Visitor | None:
        """Return who is signed in; None without a session, or with one that is over or whose key is gone.

        Raises UnavailableError: whether a session was ended is then not known.
        """
        token = request.cookies.get(cookie_name(request))
        if token is None:
            return None
        subject = self._ports.tokens.verify(Purpose.SESSION, _PROVIDER, token, self._ports.system.now())
        key_id = None if subject is None else self._ids.get(subject)
        if key_id is None or await self._ports.store.sessions.ended(_digest(token)):
            return None
        return Visitor(key_id, _csrf(token))

    def _issue(self, key_id: str, expires_at: datetime) -> str:
        return self._ports.tokens.issue(Purpose.SESSION, _PROVIDER, self._subjects[key_id], expires_at)


def cookie_name(request: Request) -> str:
    """Return the name of the cookie. Browsers tell hosts apart but not ports: one for each, else two on a machine
    would sign each other out.
    """
    port = _PORT.search(request.headers.get("host", ""))
    return f"__Host-receiver-{port[1]}" if port else "__Host-receiver"


def _digest(token: str) -> bytes:
    """Return what an ended session is known by: nobody who reads the database can open one with it."""
    return hashlib.sha256(b"session " + token.encode("utf-8", "replace")).digest()


def _csrf(token: str) -> str:
    """Return what forms carry: it follows from the cookie, which no script and no other site can read."""
    digest = hashlib.sha256(b"form of " + token.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _keep(request: Request, response: Response, value: str, lifetime: timedelta) -> None:
    """Set the cookie. Browsers take one of this name only if it is Secure, for the whole host and this host alone.

    They take it over plain http too where the host is this machine: see README.
    """
    attributes = f"Path=/; Max-Age={int(lifetime.total_seconds())}; Secure; HttpOnly; SameSite=Strict"
    response.headers.append("Set-Cookie", f"{cookie_name(request)}={value}; {attributes}")

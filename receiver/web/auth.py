"""Who may come in on the private side: API keys by digest, a brake on guessing, and the names we answer to."""

import base64
import binascii
import hashlib
import hmac
import math
import re
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from uuid import UUID

from starlette.types import Scope

from receiver.web import problems
from receiver.web.bodies import header
from receiver.web.peers import counted_as, is_loopback
from receiver.web.problems import ProblemError

#: Wrong keys that one peer may show in a window of a minute.
MOST_ATTEMPTS = 10
WINDOW_SECONDS = 60.0
#: Peers remembered at once; the one unheard of for longest is forgotten first.
MOST_PEERS = 4096
_BEARER = re.compile(rb"bearer +([^ ]+) *", re.IGNORECASE)
_BASIC = re.compile(rb"basic +([A-Za-z0-9+/=]+) *", re.IGNORECASE)
_BASIC_CHALLENGE = 'Basic realm="receiver: any name, the API key as password", charset="UTF-8"'
_PORT = re.compile(r":[0-9]{0,5}")


class Keys:
    """The API keys, kept as digests. ``id:secret`` opens with the whole or with the secret alone."""

    def __init__(self, keys: Iterable[str]) -> None:
        """Digest the keys; one without an id is known by the beginning of its digest."""
        self._digests: list[tuple[bytes, str]] = []
        for key in keys:
            name, colon, secret = key.partition(":")
            for spelling in {key, secret} if colon and name and secret else {key}:
                digest = hashlib.sha256(spelling.encode()).digest()
                self._digests.append((digest, name if colon and name and secret else digest.hex()[:12]))

    def subjects(self) -> dict[UUID, str]:
        """Return what a session holds in place of each key, with the id of that key; new with a new secret."""
        of_name: dict[str, list[bytes]] = {}
        for digest, name in sorted(self._digests):
            of_name.setdefault(name, []).append(digest)
        return {
            UUID(bytes=hashlib.sha256(b"".join((b"session", *digests))).digest()[:16]): name
            for name, digests in of_name.items()
        }

    def holder(self, presented: bytes) -> str | None:
        """Return the id of the key that was presented, or None; takes as long for any wrong key."""
        digest = hashlib.sha256(presented).digest()
        found = None
        for known, name in self._digests:
            if hmac.compare_digest(known, digest):
                found = name
        return found


class Attempts:
    """Counts wrong keys by peer over the last minute, for a bounded number of peers."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Take the clock to count by."""
        self._monotonic = monotonic
        self._peers: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, peer: str) -> int:
        """Return the whole seconds until this peer may try again, 0 when it may now."""
        times = self._peers.get(peer)
        if times is None or len(times) < MOST_ATTEMPTS:
            return 0
        return max(0, math.ceil(times[0] + WINDOW_SECONDS - self._monotonic()))

    def failed(self, peer: str) -> None:
        """Note a wrong key."""
        times = self._peers.setdefault(peer, deque(maxlen=MOST_ATTEMPTS))
        now = self._monotonic()
        while times and times[0] <= now - WINDOW_SECONDS:
            times.popleft()
        times.append(now)
        self._peers.move_to_end(peer)
        if len(self._peers) > MOST_PEERS:
            self._peers.popitem(last=False)


class Doorkeeper:
    """Lets a request in by its bearer key, before any of its body is read."""

    def __init__(self, keys: Keys, attempts: Attempts) -> None:
        """Take the keys and the brake."""
        self._keys = keys
        self._attempts = attempts

    def admit(self, scope: Scope, *, asks_browser: bool = False) -> str:
        """Return the id of the key; raise ProblemError 401 or, for a peer that guesses, 429.

        A good key is always let in: whoever shares an address with a guesser is not locked out. A request without
        any key is no guess. With ``asks_browser`` a browser asks its user, who gives the key as the password.
        """
        sent = header(scope, b"authorization") or b""
        found = _BEARER.fullmatch(sent)
        presented = [found[1]] if found is not None else _passwords(sent) if asks_browser else []
        # One alone: of two in one header a browser sees the first.
        challenge = _BASIC_CHALLENGE if asks_browser else "Bearer"
        if not presented:
            raise _unauthorized("send it as Authorization: Bearer <key>", challenge)
        holder = next((held for one in presented if (held := self._keys.holder(one)) is not None), None)
        if holder is not None:
            return holder
        peer = peer_of(scope)
        wait = self._attempts.wait(peer)
        if wait:
            raise ProblemError(problems.TOO_MANY_ATTEMPTS, headers={"Retry-After": str(wait), "Connection": "close"})
        self._attempts.failed(peer)
        raise _unauthorized("this key is not one of ours", challenge)


class Hosts:
    """The names the private side answers to; a page on a stranger's name must not reach it through DNS."""

    def __init__(self, names: Iterable[str], *, loopback: bool) -> None:
        """Take the names that are ours; with ``loopback`` those of this machine too. With neither, any will do."""
        self._names = {name.lower().rstrip(".") for name in names}
        self._loopback = loopback

    def admits(self, scope: Scope) -> bool:
        """Tell whether the Host of a request is a name of ours."""
        if not self._names and not self._loopback:
            return True
        sent = (header(scope, b"host") or b"").decode("latin-1").lower()
        name = _without_port(sent).rstrip(".")
        return sent in self._names or name in self._names or (self._loopback and _is_loopback(name))


def peer_of(scope: Scope) -> str:
    """Return whom a request is counted against: its address, for IPv6 the network around it."""
    return counted_as(str((scope.get("client") or ("",))[0]))


def _unauthorized(detail: str, challenge: str) -> ProblemError:
    headers = {"WWW-Authenticate": challenge, "Connection": "close"}
    return ProblemError(problems.UNAUTHORIZED, detail, headers=headers)


def _passwords(sent: bytes) -> list[bytes]:
    """Return what a browser's user may have meant as the key (RFC 7617): the password, or ``id:key``."""
    found = _BASIC.fullmatch(sent)
    if found is None:
        return []
    try:
        both = base64.b64decode(found[1], validate=True)
    except binascii.Error:
        return []
    return [both, both.partition(b":")[2]]


def _without_port(host: str) -> str:
    if host.startswith("["):
        name, bracket, rest = host[1:].partition("]")
        return name if bracket and (not rest or _PORT.fullmatch(rest)) else ""
    name, colon, port = host.partition(":")
    return name if not colon or _PORT.fullmatch(colon + port) else ""


def _is_loopback(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost") or is_loopback(name)

"""What strangers send: each kind of request with the answers it may get."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.strangers.wire import Ask, chunked, request

NOTHING = frozenset[int]()
#: A connection that breaks the protocol may be told so, or just be closed.
CLOSED_OR_400 = frozenset({400})


@dataclass(frozen=True, slots=True)
class Hostile:
    """What is sent, and every status that may come back; ``silence`` allows none at all."""

    ask: Ask
    expected: frozenset[int]
    silence: bool = False


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What strangers know: the tokens of a few tasks, and chance."""

    tokens: tuple[str, ...]
    chance: random.Random

    def token(self) -> str:
        """One of the good tokens."""
        return self.chance.choice(self.tokens)

    def forged(self) -> str:
        """Something like a token that is none."""
        good = self.token()
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        place = self.chance.randrange(len(good))
        other = self.chance.choice([letter for letter in letters if letter != good[place]])
        forgeries: list[Callable[[], str]] = [
            lambda: good[:place] + other + good[place + 1 :],
            lambda: good[:place],
            lambda: good + other,
            lambda: good[:place] + f"%{ord(good[place]):02X}" + good[place + 1 :],
            good.swapcase,
            lambda: good + "=",
            lambda: "".join(self.chance.choices(letters, k=len(good))),
            lambda: other * self.chance.randrange(1, 2000),
            lambda: "%00",
            lambda: "..%2f..%2fv1%2ftasks",
            lambda: "%ff%fe",
        ]
        return self.chance.choice(forgeries)()

    def noise(self, most: int) -> bytes:
        """Random bytes."""
        return self.chance.randbytes(self.chance.randrange(1, most))


Maker = Callable[[Knowledge], Hostile]
_MAKERS: list[tuple[int, Maker]] = []


def _kind(weight: int) -> Callable[[Maker], Maker]:
    def note(maker: Maker) -> Maker:
        _MAKERS.append((weight, maker))
        return maker

    return note


def draw(known: Knowledge) -> tuple[str, Hostile]:
    """Return one hostile request by chance, with the name of its kind."""
    [maker] = known.chance.choices([maker for _, maker in _MAKERS], [weight for weight, _ in _MAKERS])
    return maker.__name__.lstrip("_"), maker(known)


def _one(data: bytes, *expected: int, silence: bool = False) -> Hostile:
    return Hostile(Ask((data,)), frozenset(expected), silence)


@_kind(20)
def _forged(known: Knowledge) -> Hostile:
    method = known.chance.choice(["POST", "POST", "GET", "HEAD", "PUT"])
    target = f"/callbacks/{known.chance.choice(['runware', 'aimlapi', 'nobody', ''])}/{known.forged()}"
    return _one(request(method, target, body=known.noise(2000)), 404)


@_kind(6)
def _foreign_path(known: Knowledge) -> Hostile:
    good = f"/callbacks/runware/{known.token()}"
    target = known.chance.choice(
        [
            good + "/",
            good + "//",
            "/" + good,
            good.replace("/callbacks", "/callbacks/"),
            good.replace("runware", "aimlapi"),
            good.replace("runware", "Runware"),
            good.replace("/runware/", "/runware%2F"),
            good.replace("callbacks", "call%62acks"),
            good.replace("callbacks", "x/../callbacks"),
            good + ";a=b",
            "/callbacks",
            "/callbacks?" + known.token(),
        ]
    )
    return _one(request("POST", target, body=b"{}"), 404)


@_kind(8)
def _private_side(known: Knowledge) -> Hostile:
    path = known.chance.choice(["/v1/tasks", "/v1/tasks/x", "/v1/events", f"/v1/{known.token()}", "/metrics", "/v1"])
    key = known.chance.choice([[], ["Authorization: Bearer wrong"], ["Authorization: Basic eDp5"], ["Cookie: key=x"]])
    method = known.chance.choice(["GET", "POST", "DELETE", "PATCH"])
    return _one(request(method, path, *key, body=b"{}"), 401, 429)


@_kind(4)
def _elsewhere(known: Knowledge) -> Hostile:
    path = known.chance.choice(
        [
            "/",
            "/.env",
            "/.git/config",
            "/wp-login.php",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/docs",
            "//",
            "/healthz/x",
            "/\\",
        ]
    )
    return _one(request(known.chance.choice(["GET", "POST", "TRACE"]), path), 200, 303, 307, 401, 404, 405)


@_kind(10)
def _hostile_body(known: Knowledge) -> Hostile:
    return _one(request("POST", f"/callbacks/runware/{known.token()}", body=_body(known)), 200, 429)


@_kind(6)
def _look(known: Knowledge) -> Hostile:
    method = known.chance.choice(["GET", "HEAD"])
    return _one(request(method, f"/callbacks/runware/{known.token()}?x=%00"), 204)


@_kind(6)
def _wrong_method(known: Knowledge) -> Hostile:
    method = known.chance.choice(["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "SEARCH"])
    return _one(request(method, f"/callbacks/runware/{known.token()}", body=b"x"), 405)


@_kind(4)
def _no_method(known: Knowledge) -> Hostile:
    method = known.chance.choice(["BREW", "G T", "", "post", "\x00", "PRI", "GET\tGET"])
    return _one(request(method, f"/callbacks/runware/{known.token()}"), *CLOSED_OR_400, silence=True)


@_kind(8)
def _chunks(known: Knowledge) -> Hostile:
    head = request("POST", f"/callbacks/runware/{known.token()}", "Transfer-Encoding: chunked")
    parts = [known.noise(200) for _ in range(known.chance.randrange(1, 40))]
    return _one(head + chunked(parts), 200, 429)


@_kind(6)
def _broken_chunks(known: Knowledge) -> Hostile:
    head = request("POST", f"/callbacks/runware/{known.token()}", "Transfer-Encoding: chunked")
    tail = known.chance.choice(
        [b"zz\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n", b"3\nabc\n0\n\n", b"5\r\nabcdefgh\r\n0\r\n\r\n"]
    )
    return _one(head + tail, *CLOSED_OR_400, 413, silence=True)


@_kind(6)
def _smuggled(known: Knowledge) -> Hostile:
    good = f"/callbacks/runware/{known.token()}"
    inner = request("POST", "/callbacks/runware/" + known.forged(), body=b"{}")
    lengths = known.chance.choice(
        [
            ["Content-Length: 4", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: chunked", "Content-Length: 4"],
            ["Transfer-Encoding: identity, chunked", "Content-Length: 4"],
            ["Transfer-Encoding: chunked, x"],
            ["Transfer-Encoding : chunked"],
            ["Content-Length: 4", "Content-Length: 5"],
            ["Content-Length: +4"],
            ["Content-Length: 0x4"],
            ["Content-Length: 4 4"],
            ["Content-Length: 99999999999999999999999999"],
            ["Content-Length: -1"],
        ]
    )
    # What is inside must never be answered as a request of its own beside a 2xx for the outside.
    return _one(request("POST", good, *lengths, close=False) + b"0\r\n\r\n" + inner, *CLOSED_OR_400, silence=True)


@_kind(6)
def _odd_targets(known: Knowledge) -> Hostile:
    good = f"/callbacks/runware/{known.token()}"
    target = known.chance.choice(
        [
            f"http://example.org{good}",
            f"https://user:pass@[::1]:1{good}",
            "*",
            "example.org:443",
            f"//{good}",
            f"{good}#x",
        ]
    )
    method = "CONNECT" if target == "example.org:443" else known.chance.choice(["POST", "GET", "OPTIONS"])
    return _one(request(method, target, body=b"{}"), 200, 204, 400, 404, 405, 429, silence=True)


@_kind(4)
def _upgrade(known: Knowledge) -> Hostile:
    upgrade = known.chance.choice(
        [
            ["Upgrade: websocket", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13"],
            ["Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"],
            ["Upgrade: TLS/1.0"],
        ]
    )
    lines = [*upgrade, "Connection: Upgrade, HTTP2-Settings"]
    target = known.chance.choice([f"/callbacks/runware/{known.token()}", "/callbacks/runware/x", "/ws"])
    return _one(request("GET", target, *lines, close=False), 204, 400, 404)


@_kind(4)
def _other_protocols(known: Knowledge) -> Hostile:
    data = known.chance.choice(
        [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\x12\4\0\0\0\0\0" + bytes(18),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + known.noise(500),
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"EHLO example.org\r\n",
            b"*1\r\n$4\r\nPING\r\n",
            b"\x00" * 500,
            known.noise(3000),
            b"GET / HTTP/9.9\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
        ]
    )
    # What begins like a request and does not go on would be waited for.
    return Hostile(Ask((data, b"\r\n\r\n"), half_close=True), CLOSED_OR_400 | {404, 408, 431}, silence=True)


@_kind(6)
def _pipelined(known: Knowledge) -> Hostile:
    good = request("HEAD", f"/callbacks/runware/{known.token()}", close=False)
    last = request("POST", "/callbacks/runware/" + known.forged(), body=b"{}")
    many = known.chance.choice([2, 8, 15, 200])
    return Hostile(Ask((good * many + last,), until_answered=False), frozenset({204, 404}), silence=many > 16)


@_kind(8)
def _truncated(known: Knowledge) -> Hostile:
    whole = request("POST", f"/callbacks/runware/{known.token()}", body=_body(known))
    cut = known.chance.randrange(1, len(whole))
    return Hostile(Ask((whole[:cut],), listen=False), NOTHING, silence=True)


@_kind(2)
def _header_flood(known: Knowledge) -> Hostile:
    line = known.chance.choice(
        [b"x-pad: " + b"a" * 1000 + b"\r\n", b"a:b\r\n" * 200, b"x" * 1000, b"cookie: " + b"c=d;" * 200]
    )
    head = f"POST /callbacks/runware/{known.token()} HTTP/1.1\r\nhost: a\r\n".encode()
    # More than one read takes in.
    return Hostile(Ask((head, *[line * 8] * 128)), frozenset({400, 431}), silence=True)


@_kind(3)
def _odd_headers(known: Knowledge) -> Hostile:
    line = known.chance.choice(
        [
            "Content-Type: \x85\xff\x01",
            "Content-Type: " + "a" * 20_000,
            "Expect: 200-maybe",
            "Host: evil.example",
            "X-Forwarded-For: 127.0.0.1",
            "X-Original-URL: /v1/tasks",
            "Content-Encoding: gzip",
            "Range: bytes=0-0,1-1",
            "X-HTTP-Method-Override: DELETE",
        ]
    )
    return _one(request("POST", f"/callbacks/runware/{known.token()}", line, body=b"{}"), 200, 400, 429, silence=True)


@_kind(1)
def _too_large(known: Knowledge) -> Hostile:
    length = known.chance.choice(["100000000000", "9" * 18])
    return _one(request("POST", f"/callbacks/runware/{known.token()}", f"Content-Length: {length}"), 413)


def _body(known: Knowledge) -> bytes:
    return known.chance.choice([known.noise(4000), *_ODD_BODIES])


def _report(known: Mapping[str, object]) -> bytes:
    return json.dumps({"data": [{"taskType": "audioInference", **known}]}).encode()


#: JSON that is none, or that no two parsers and databases take alike; none of it is a report.
ODD_JSON: Mapping[str, bytes] = {
    "empty": b"",
    "not json": b"<html>502 Bad Gateway</html>",
    "cut off": b'{"data":[{"taskUUID":"',
    "not utf-8": b'{"data":"\xff\xfe\x80"}',
    "utf-16": '{"data":[]}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"data":[]}',
    "nan": b'{"data":[{"cost":NaN}]}',
    "infinity": b'{"data":[{"cost":-Infinity}]}',
    "nul": b'{"data":[{"taskUUID":"\\u0000"}]}',
    "half a surrogate pair": b'{"data":[{"taskUUID":"\\ud800"}]}',
    "a number of many digits": b'{"data":[{"seed":' + b"9" * 5000 + b"}]}",
    "a huge exponent": b'{"data":[{"cost":1e999999999}]}',
    "a string at the top": b'"' + b"x" * 2000 + b'"',
    "null": b"null",
    "a list of nothing": b"[[],[],{}]",
    "escapes": _report({"taskUUID": "\\u0041" * 100}),
}
_ODD_BODIES = (*ODD_JSON.values(), b"[" * 3000, b"{}," * 3000)
KINDS = frozenset(maker.__name__.lstrip("_") for _, maker in _MAKERS)

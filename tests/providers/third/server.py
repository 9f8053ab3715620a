"""A Lark on this machine: its songs do what a test wants, and its callbacks are signed as Standard Webhooks says."""

import base64
import hmac
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.storage.audio import wav

KEY = "lark-key-0123456789"
SECRET = "whsec_" + base64.b64encode(b"what lark and the receiver share").decode()
OTHER_SECRET = "whsec_" + base64.b64encode(b"what somebody else came up with.").decode()
#: How long a held answer is held at most; nothing waits for this to pass.
_HELD_SECONDS = 60


def signature(secret: str, body: bytes, *, name: str, at: float) -> str:
    """Sign as standardwebhooks.com says, "Signature scheme"."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.digest(key, f"{name}.{int(at)}.".encode() + body, "sha256")).decode()


def signed(body: bytes, *, at: float, secret: str = SECRET, name: str = "msg_1") -> dict[str, str]:
    """Return the three headers; the genuine signature stands between others, as while a secret is exchanged."""
    others = signature(OTHER_SECRET, body, name=name, at=at), "v1a,c2lnbmVkIGluIGFub3RoZXIgd2F5"
    return {
        "webhook-id": name,
        "webhook-timestamp": str(int(at)),
        "webhook-signature": " ".join((others[0], signature(secret, body, name=name, at=at), others[1])),
    }


@dataclass
class Song:
    """A song that was asked for. ``told`` is what Lark says of it when asked."""

    id: str
    asked: Mapping[str, Any]
    audio: bytes
    told: dict[str, object] = field(default_factory=dict)

    @property
    def task_id(self) -> str:
        return str(self.asked["client_reference"])

    @property
    def callback_url(self) -> str:
        return str(self.asked["callback_url"])


class Lark:
    """The songs, and what a test may change about taking them."""

    def __init__(self) -> None:
        self.url = ""
        self.songs: dict[str, Song] = {}
        self.submits = 0
        #: Cleared, a submit is taken and its answer held back.
        self.answering = threading.Event()
        self.answering.set()
        #: What becomes of submits: "answered"; "unheard": taken, the answer lost; "dropped": lost on the way.
        self.fate = "answered"

    def song_of(self, task_id: str) -> Song | None:
        return next((song for song in list(self.songs.values()) if song.task_id == task_id), None)

    def done(self, song: Song, *, audio_of: str | None = None) -> dict[str, object]:
        """Return what Lark says of a song that is ready."""
        link = f"{self.url}/media/{audio_of or song.id}.wav"
        return {"id": song.id, "status": "done", "audio": {"url": link}, "price_usd": 0.04}

    def take(self, asked: Mapping[str, Any]) -> Song:
        song = Song(f"sg_{len(self.songs) + 1:04}", asked, wav(1.0 + len(self.songs) / 8))
        song.told = {"id": song.id, "status": "singing"}
        self.songs[song.id] = song
        return song

    def answer(self, path: str) -> object:
        """Answer a GET; None where there is nothing."""
        name = path.rpartition("/")[2].removesuffix(".wav")
        if path == "/v1/songs":
            rows = [{"id": song.id, "client_reference": song.task_id} for song in list(self.songs.values())]
            return {"songs": rows, "more": False}
        if name not in self.songs:
            return None
        return self.songs[name].audio if path.startswith("/media/") else self.songs[name].told


def call(song: Song, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
    """Call the receiver back as Lark would, or as somebody else might."""
    return httpx.post(song.callback_url, content=body, headers={"content-type": "application/json", **headers})


@contextmanager
def running() -> Iterator[Lark]:
    """Serve for the length of the block."""
    lark = Lark()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = lark.answer(urlsplit(self.path).path)
            if found is None:
                self._say(404, {"error": {"code": "not_found", "message": "no such song"}})
            else:
                self._say(200, found)

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            lark.submits += 1
            if self.headers["authorization"] != f"Bearer {KEY}":
                self._say(401, {"error": {"code": "invalid_key", "message": "this key is not known"}})
                return
            song = lark.take(asked) if lark.fate != "dropped" else None
            lark.answering.wait(_HELD_SECONDS)
            if song is not None and lark.fate == "answered":
                self._say(201, {"id": song.id, "client_reference": song.task_id, "status": "queued"})

        def _say(self, status: int, said: object) -> None:
            body = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "audio/wav" if isinstance(said, bytes) else "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    lark.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield lark
    finally:
        lark.answering.set()
        server.shutdown()
        server.server_close()
        thread.join()

"""The files that pages are made with: each under a name that changes with its content, kept by browsers for good."""

import base64
import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.domain.errors import NotFoundError
from receiver.web.context import TEMPLATE
from receiver.web.dashboard.routing import PageRoute

#: Every address of a file begins so: kept by browsers, as it changes with the content.
PREFIX = "/static/"
_PATH = "/static/{name}"
_MEDIA_TYPES = MappingProxyType(
    {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
)
_LETTERS_OF_DIGEST = 16


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its name with its digest in it, and its bytes, packed too where that makes them fewer."""

    name: str
    data: bytes
    packed: bytes
    media_type: str


@cache
def assets() -> dict[str, Asset]:
    """Return every file of ``static`` and ``static/vendor`` by its plain name."""
    folder = files("receiver.web.dashboard").joinpath("static")
    found = [*folder.iterdir(), *folder.joinpath("vendor").iterdir()]
    return {each.name: _read(each) for each in found if each.is_file() and _extension(each.name) in _MEDIA_TYPES}


def address(name: str) -> str:
    """Return where a file is found, from our root. Raises KeyError for one that does not exist."""
    return PREFIX + assets()[name].name


def routes() -> list[Route]:
    """Return the one route of all files; they tell nothing, so they need no session."""
    by_name = {asset.name: asset for asset in assets().values()}

    async def show(request: Request) -> Response:
        request.scope[TEMPLATE] = _PATH
        asset = by_name.get(request.path_params["name"])
        if asset is None:
            raise NotFoundError
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable",
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Vary": "Accept-Encoding",
        }
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                asset.packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=asset.media_type
            )
        return Response(asset.data, headers=headers, media_type=asset.media_type)

    return [PageRoute(_PATH, show, methods=["GET"])]


def _read(file: Traversable) -> Asset:
    data = file.read_bytes()
    stem, _, extension = file.name.rpartition(".")
    digest = base64.b32encode(hashlib.sha256(data).digest()).decode().lower()[:_LETTERS_OF_DIGEST]
    return Asset(f"{stem}.{digest}.{extension}", data, gzip.compress(data, mtime=0), _MEDIA_TYPES[extension])


def _extension(name: str) -> str:
    return name.rpartition(".")[2]

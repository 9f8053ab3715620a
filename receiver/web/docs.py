"""The description of the interface: for programs as a document, for people as a page made of it."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from receiver.web import openapi_callbacks, problems
from receiver.web.context import Context, DescribedRoute, described, route
from receiver.web.docs_page import page
from receiver.web.openapi import document
from receiver.web.operations import JSON, Answer, Operation
from receiver.web.queries import read_query

DOCUMENT = "/openapi.json"
PAGE = "/docs"
#: A browser may open these with the key as the password it asks for; nothing can be changed here.
PATHS = frozenset({DOCUMENT, PAGE})


def routes(context: Context, all_routes: Callable[[], Iterable[BaseRoute]]) -> list[Route]:
    """Return the routes of this room; ``all_routes`` are those to describe, these among them."""

    @cache
    def told() -> dict[str, object]:
        paths = {one.path: one.operations for one in all_routes() if isinstance(one, DescribedRoute)}
        if "callbacks" in context.config.roles:
            paths[openapi_callbacks.PATH] = dict(openapi_callbacks.OPERATIONS)
        return document(paths, server=context.config.api_url)

    @cache
    def as_json() -> bytes:
        return json.dumps(told(), ensure_ascii=False, separators=(",", ":")).encode()

    @cache
    def as_page() -> tuple[bytes, str]:
        style = files("receiver.web").joinpath("docs.css").read_text("utf-8")
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        return page(told(), style).encode(), f"style-src 'sha256-{digest}'"

    @described(
        Operation(
            "getDocument",
            "service",
            "This document",
            {200: Answer("OpenAPI 3.1.", {JSON: dict[str, object]})},
            problems=(problems.INVALID_REQUEST,),
        )
    )
    async def show_document(_: Context, request: Request) -> Response:
        """Describe what this process serves."""
        read_query(request.query_params, ())
        return Response(as_json(), media_type=JSON)

    @described(
        Operation(
            "showDocument",
            "service",
            "This document as a page",
            {200: Answer("A page.", {"text/html": None})},
            problems=(problems.INVALID_REQUEST,),
        )
    )
    async def show_page(_: Context, request: Request) -> Response:
        """Describe what this process serves, for people: no script, nothing from elsewhere."""
        read_query(request.query_params, ())
        body, style_source = as_page()
        policy = f"default-src 'none'; {style_source}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}
        return Response(body, headers=headers, media_type="text/html")

    return [route(context, DOCUMENT, GET=show_document), route(context, PAGE, GET=show_page)]

"""The document of the interface, OpenAPI 3.1, made of what the routes of this process say of themselves."""

import inspect
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import cast

from pydantic import TypeAdapter

from receiver.web import problems
from receiver.web.answers import Problem
from receiver.web.operations import Answer, Body, Operation, Parameter, Shape
from receiver.web.problems import Kind

_REFERENCE = "#/components/schemas/{model}"
_IN_PATH = re.compile(r"\{([a-z_]+)\}")
_PATH_WORDS = {
    "id": "The id, as answers give it.",
    "result_id": "The id of a result of that task.",
    "provider": "The provider's name.",
    "token": "The token of the link, made for this one thing.",
}
_ROOMS = {
    "tasks": "Ask for generations, look at them, stop waiting for them.",
    "inputs": "Reference audio of your own.",
    "events": "What happened, in order: as lists and as streams.",
    "audio": "The audio that we hold.",
    "reports": "What providers said, verbatim.",
    "notifications": "Where your application is told what happens, and what is on its way there.",
    "callbacks": "Where providers call us.",
    "numbers": "What was counted.",
    "service": "Whether this process lives, what it counts, what it can do.",
}
_KEY = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key: `Authorization: Bearer <key>`."},
    "token": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "The token of a `download_url`: opens one audio for 15 minutes.",
    },
}
_SECURITY: Mapping[str, list[dict[str, list[str]]]] = {
    "key": [{"key": []}],
    "key or token": [{"key": []}, {"token": []}],
    "token": [],
    "nothing": [],
}
#: In the order in which people look for them.
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
#: Refusals that every route may give, and those before a key is looked at.
_ANYWHERE = (problems.INTERNAL, problems.UNAVAILABLE)
_WITH_DOCUMENT = (problems.INVALID_JSON, problems.TOO_SLOW, problems.TOO_LARGE, problems.UNSUPPORTED_TYPE)
_WITH_KEY = (problems.UNAUTHORIZED, problems.TOO_MANY_ATTEMPTS, problems.NOT_FOUND)
_REFUSAL_HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": "How to show a key."},
    416: {"Content-Range": "How many bytes there are."},
    429: {"Retry-After": "Seconds after which to come again."},
    503: {"Retry-After": "Seconds after which to come again."},
}
_DESCRIPTION = """
Asks Runware and AIMLAPI for music generations, hears of them by callback and by its own looks, fetches the audio,
and tells the story of each task.

Every refusal is `application/problem+json` (RFC 9457); programs match on `type`. What is unknown is null, never
absent. Moments are UTC. HEAD is answered wherever GET is; another method is a 405 that names those there are.
"""


def document(paths: Mapping[str, Mapping[str, Operation]], *, server: str | None = None) -> dict[str, object]:
    """Return the document of these operations by path and method; ``server`` is the base of all paths."""
    schemas = _Schemas()
    for operations in paths.values():
        for operation in operations.values():
            schemas.add(*_shapes(operation))
    schemas.add(Problem)
    schemas.make()
    rooms = {operation.room for operations in paths.values() for operation in operations.values()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Receiver",
            "version": version("receiver"),
            "summary": "Asynchronous music generations, settled exactly once.",
            "description": _DESCRIPTION.strip(),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": server or "/"}],
        "tags": [{"name": room, "description": _ROOMS.get(room, room)} for room in sorted(rooms, key=_order)],
        "security": _SECURITY["key"],
        "paths": {
            path: {
                method.lower(): _operation(path, operations[method], schemas)
                for method in sorted(operations, key=_METHODS.index)
            }
            for path, operations in sorted(paths.items())
        },
        "components": {"schemas": schemas.made, "securitySchemes": _KEY},
    }


def _order(room: str) -> tuple[int, str]:
    known = list(_ROOMS)
    return (known.index(room) if room in known else len(known), room)


def _shapes(operation: Operation) -> Iterable[Shape]:
    yield from (parameter.shape for parameter in operation.parameters)
    if operation.body is not None and operation.body.shape is not None:
        yield operation.body.shape
    for answer in operation.answers.values():
        yield from (shape for shape in answer.content.values() if shape is not None)


class _Schemas:
    """The JSON schemas of shapes, each named once."""

    def __init__(self) -> None:
        self._shapes: list[Shape] = []
        self._by_shape: dict[int, dict[str, object]] = {}
        self.made: dict[str, object] = {}

    def add(self, *shapes: Shape) -> None:
        self._shapes += shapes

    def make(self) -> None:
        # All at once, so that what several of them share has one name.
        found, definitions = TypeAdapter.json_schemas(
            [(number, "validation", _adapter(shape)) for number, shape in enumerate(self._shapes)],
            ref_template=_REFERENCE,
        )
        for number, shape in enumerate(self._shapes):
            self._by_shape[id(shape)] = cast("dict[str, object]", found[number, "validation"])
        self.made = dict(sorted(cast("dict[str, object]", definitions.get("$defs", {})).items()))

    def of(self, shape: Shape) -> dict[str, object]:
        return self._by_shape[id(shape)]


def _adapter(shape: Shape) -> TypeAdapter[object]:
    return TypeAdapter(cast("type[object]", shape))


def _operation(path: str, operation: Operation, schemas: _Schemas) -> dict[str, object]:
    answered = {str(status): _answer(answer, schemas) for status, answer in operation.answers.items()}
    told: dict[str, object] = {
        "operationId": operation.name,
        "tags": [operation.room],
        "summary": operation.summary,
        "description": _plain(operation.meaning or operation.summary),
        "security": _SECURITY[operation.opened_by],
        "responses": dict(sorted({**_refusals(operation), **answered}.items())),
    }
    parameters = [*_path_parameters(path, operation), *(_parameter(one, schemas) for one in operation.parameters)]
    if parameters:
        told["parameters"] = parameters
    if operation.body is not None:
        told["requestBody"] = _body(operation.body, schemas)
    return told


def _path_parameters(path: str, operation: Operation) -> Iterable[dict[str, object]]:
    described = {parameter.name for parameter in operation.parameters if parameter.where == "path"}
    for name in _IN_PATH.findall(path):
        if name not in described:
            schema = {"type": "string", **({"format": "uuid"} if name.endswith("id") else {})}
            yield {"name": name, "in": "path", "required": True, "description": _PATH_WORDS[name], "schema": schema}


def _parameter(parameter: Parameter, schemas: _Schemas) -> dict[str, object]:
    told: dict[str, object] = {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.required or parameter.where == "path",
        "description": parameter.meaning,
        "schema": schemas.of(parameter.shape),
    }
    if parameter.example is not None:
        told["example"] = parameter.example
    return told


def _body(body: Body, schemas: _Schemas) -> dict[str, object]:
    content: dict[str, object] = {"schema": schemas.of(body.shape)} if body.shape is not None else {}
    if body.examples:
        content["examples"] = {name: {"value": value} for name, value in body.examples.items()}
    return {
        "description": body.meaning,
        "required": body.required,
        "content": dict.fromkeys(body.media_types, content),
    }


def _answer(answer: Answer, schemas: _Schemas) -> dict[str, object]:
    told: dict[str, object] = {"description": answer.meaning}
    if answer.headers:
        told["headers"] = _headers(answer.headers)
    if answer.content:
        told["content"] = {
            media_type: _content(media_type, shape, answer.example, schemas)
            for media_type, shape in answer.content.items()
        }
    return told


def _content(media_type: str, shape: Shape | None, example: object, schemas: _Schemas) -> dict[str, object]:
    if shape is None:
        return {}
    if media_type.startswith("text/"):
        # The text is not a JSON value: it carries ones of this shape.
        return {
            "schema": {"type": "string", "contentMediaType": "application/json", "contentSchema": schemas.of(shape)}
        }
    return {"schema": schemas.of(shape), **({} if example is None else {"example": example})}


def _refusals(operation: Operation) -> dict[str, object]:
    usual = (*_WITH_KEY, *_ANYWHERE) if operation.opened_by in {"key", "key or token"} else _ANYWHERE
    if operation.body is not None and operation.body.shape is not None:
        usual = (*_WITH_DOCUMENT, *usual)
    by_status: dict[int, dict[str, Kind]] = {}
    for kind in (*operation.problems, *usual):
        by_status.setdefault(kind.status, {})[kind.name] = kind
    return {str(status): _refusal(status, list(by_status[status].values())) for status in sorted(by_status)}


def _refusal(status: int, kinds: list[Kind]) -> dict[str, object]:
    schema = {
        "allOf": [
            {"$ref": _REFERENCE.format(model="Problem")},
            {"properties": {"type": {"enum": [kind.type for kind in kinds]}, "status": {"const": status}}},
        ]
    }
    examples = {kind.name: {"summary": kind.title, "value": _example(kind)} for kind in kinds}
    told: dict[str, object] = {
        "description": " ".join(f"{kind.title}." for kind in kinds),
        "content": {problems.MEDIA_TYPE: {"schema": schema, "examples": examples}},
    }
    if status in _REFUSAL_HEADERS:
        told["headers"] = _headers(_REFUSAL_HEADERS[status])
    return told


def _example(kind: Kind) -> dict[str, object]:
    wrong = [{"field": "prompt", "message": "is required"}] if kind is problems.INVALID_REQUEST else []
    detail = "prompt is required" if wrong else kind.title
    return {"type": kind.type, "title": kind.title, "status": kind.status, "detail": detail, "errors": wrong}


def _headers(headers: Mapping[str, str]) -> dict[str, object]:
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()}


def _plain(docstring: str) -> str:
    """Return a docstring as running text, its paragraphs kept."""
    paragraphs = inspect.cleandoc(docstring).replace("``", "`").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)

"""How a route describes itself: what it takes, what it answers, how it refuses. The document is made of this."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from receiver.web.problems import Kind

#: A type that pydantic can make a JSON schema of: a model, ``int``, ``Annotated[str, Field(max_length=40)]``.
Shape = object

JSON = "application/json"
BYTES = "application/octet-stream"
EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: ``where`` it stands, the ``shape`` of its value, an ``example`` that is valid."""

    name: str
    meaning: str
    shape: Shape = str
    where: Literal["query", "header", "path"] = "query"
    required: bool = False
    example: object = None


@dataclass(frozen=True, slots=True)
class Body:
    """What a request holds: a JSON document of this shape, or with ``shape`` None bytes of these ``media_types``."""

    meaning: str
    shape: Shape | None
    media_types: tuple[str, ...] = (JSON,)
    required: bool = True
    examples: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer that is no refusal.

    ``content`` is by media type the shape of a JSON document or an event's data; None is bytes. Without ``content``
    there is no body. ``headers`` are by name what they mean. ``example`` is one of the JSON document.
    """

    meaning: str
    content: Mapping[str, Shape | None] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    example: object = None


def answers(meaning: str, shape: Shape, **headers: str) -> Answer:
    """Return a JSON answer of that shape; ``headers`` have underscores for dashes."""
    return Answer(meaning, {JSON: shape}, {name.replace("_", "-"): text for name, text in headers.items()})


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one route. ``name`` is unique and stays: generated clients call their functions by it.

    ``problems`` are the refusals of its own; added are those that any route gives (no key, no such host, a fault of
    ours), and any that takes a document (no JSON, too large, too slow). ``meaning`` is the long form of the summary,
    by default the endpoint's docstring. ``opened_by`` says what opens it: a key, a token in its path or query
    besides, or nothing at all.
    """

    name: str
    room: str
    summary: str
    answers: Mapping[int, Answer]
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    problems: tuple[Kind, ...] = ()
    meaning: str = ""
    opened_by: Literal["key", "key or token", "token", "nothing"] = "key"

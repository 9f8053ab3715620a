"""The document of the interface as one page of HTML: every word escaped, no script, readable without a mouse."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

_CODE = re.compile(r"`([^`]+)`")
_NAME = "#/components/schemas/"
#: Kinds of answers by the first digit of their status.
_CLASSES = {"1": "good", "2": "good", "3": "good", "4": "refused", "5": "fault"}


def page(document: Mapping[str, object], style: str) -> str:
    """Return the page; ``style`` stands in it as it is."""
    info = _object(document, "info")
    operations = list(_operations(document))
    rooms = [(str(tag["name"]), str(tag["description"])) for tag in _objects(document, "tags")]
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(str(info['title']))} · interface</title><style>{style}</style></head><body>",
            '<a class="skip" href="#interface">To the interface</a>',
            f"<header><h1>{escape(str(info['title']))} <small>{escape(str(info['version']))}</small></h1>",
            f"<p class=lead>{_words(str(info['summary']))}</p>{_paragraphs(str(info['description']))}",
            '<p><a href="openapi.json">openapi.json</a> is this page for programs.</p></header>',
            _contents(operations, rooms),
            '<main id="interface">',
            *(_room(name, text, operations) for name, text in rooms),
            _shapes(document),
            "</main></body></html>",
        )
    )


def _operations(document: Mapping[str, object]) -> Iterable[tuple[str, str, Mapping[str, object]]]:
    for path, methods in _object(document, "paths").items():
        if isinstance(methods, dict):
            for method, operation in methods.items():
                yield path, method.upper(), operation


def _contents(operations: list[tuple[str, str, Mapping[str, object]]], rooms: list[tuple[str, str]]) -> str:
    parts = ['<nav aria-label="Contents">']
    for room, _ in rooms:
        parts.append(f"<p>{escape(room)}</p><ul>")
        for path, method, operation in _of_room(room, operations):
            name = escape(str(operation["operationId"]))
            parts.append(f'<li><a href="#{name}">{_method(method)} <code>{_breakable(path)}</code></a></li>')
        parts.append("</ul>")
    parts.append('<p>shapes</p><ul><li><a href="#shapes">All shapes</a></li></ul></nav>')
    return "".join(parts)


def _of_room(
    room: str, operations: list[tuple[str, str, Mapping[str, object]]]
) -> list[tuple[str, str, Mapping[str, object]]]:
    return [one for one in operations if one[2]["tags"] == [room]]


def _room(name: str, text: str, operations: list[tuple[str, str, Mapping[str, object]]]) -> str:
    told = "".join(_operation(*one) for one in _of_room(name, operations))
    return f"<section><h2>{escape(name.capitalize())}</h2><p>{_words(text)}</p>{told}</section>"


def _operation(path: str, method: str, operation: Mapping[str, object]) -> str:
    name = escape(str(operation["operationId"]))
    parts = [
        f'<article id="{name}"><h3>{_method(method)} <code>{_breakable(path)}</code></h3>',
        f"<p class=lead>{_words(str(operation['summary']))}{_opened_by(operation)}</p>",
    ]
    if operation["description"] != operation["summary"]:
        parts.append(_paragraphs(str(operation["description"])))
    parameters = _objects(operation, "parameters")
    if parameters:
        parts.append(_table("Takes", ("name", "in", "value", ""), [_parameter(one) for one in parameters]))
    if "requestBody" in operation:
        parts.append(_body(_object(operation, "requestBody")))
    answers = [_answer(status, answer) for status, answer in _object(operation, "responses").items()]
    parts.append(_table("Answers", ("status", "", "holds"), answers))
    parts.append("</article>")
    return "".join(parts)


def _opened_by(operation: Mapping[str, object]) -> str:
    security = operation["security"]
    if not isinstance(security, list) or not security:
        return ' <span class="tag">no key</span>'
    names = " or ".join(name for one in security for name in one)
    return f' <span class="tag">{escape(names)}</span>'


def _parameter(parameter: Mapping[str, object]) -> tuple[str, ...]:
    required = ' <span class="tag">required</span>' if parameter["required"] else ""
    return (
        f"<code>{_breakable(str(parameter['name']))}</code>{required}",
        escape(str(parameter["in"])),
        _shape(_object(parameter, "schema")),
        _words(str(parameter["description"])),
    )


def _body(body: Mapping[str, object]) -> str:
    parts = [f"<h4>Body</h4><p>{_words(str(body['description']))}</p>"]
    for media_type, content in _object(body, "content").items():
        parts.append(f"<p><code>{escape(media_type)}</code>")
        if isinstance(content, dict) and "schema" in content:
            parts.append(f": {_shape(content['schema'])}")
        parts.append("</p>")
    first = next(iter(_object(body, "content").values()), {})
    if isinstance(first, dict):
        for name, example in _object(first, "examples").items():
            if isinstance(example, dict):
                parts.append(_example(f"Example: {name}", example["value"]))
    return "".join(parts)


def _answer(status: str, answer: object) -> tuple[str, ...]:
    told = answer if isinstance(answer, dict) else {}
    holds = []
    plain = []
    for media_type, content in _object(told, "content").items():
        shape = content.get("schema") if isinstance(content, dict) else None
        if not isinstance(shape, dict):
            plain.append(f"<code>{escape(media_type)}</code>")
        else:
            holds.append(_problem_types(shape) or f"<code>{escape(media_type)}</code>: {_shape(shape)}")
    if plain:
        holds.append(" ".join(plain))
    for name, header in _object(told, "headers").items():
        text = header.get("description", "") if isinstance(header, dict) else ""
        holds.append(f"<code>{escape(name)}</code>: {_words(str(text))}")
    kind = _CLASSES.get(status[:1], "")
    return (
        f'<strong class="{kind}">{escape(status)}</strong>',
        _words(str(told.get("description", ""))),
        "<br>".join(holds),
    )


def _problem_types(shape: Mapping[str, object]) -> str:
    """Return the problem types that a refusal may have; nothing for another shape."""
    parts = _objects(shape, "allOf")
    types = [_object(_object(part, "properties"), "type").get("enum") for part in parts]
    named = next((one for one in types if isinstance(one, list)), [])
    return "<br>".join(f"<code>{_breakable(str(one))}</code>" for one in named)


def _shapes(document: Mapping[str, object]) -> str:
    parts = ['<section id="shapes"><h2>Shapes</h2>']
    for name, schema in _object(_object(document, "components"), "schemas").items():
        if not isinstance(schema, dict):
            continue
        parts.append(f'<article id="shape-{escape(name)}"><h3><code>{escape(name)}</code></h3>')
        parts.append(_paragraphs(str(schema.get("description", ""))))
        if "enum" in schema:
            parts.append(f"<p>{_shape(schema)}</p>")
        fields = _object(schema, "properties")
        required = schema.get("required", [])
        rows = [
            (f"<code>{escape(field)}</code>", _shape(one), _words(str(one.get("description", ""))))
            for field, one in fields.items()
            if isinstance(one, dict)
        ]
        if rows:
            optional = sorted(set(fields) - set(required if isinstance(required, list) else []))
            parts.append(_table("", ("field", "value", ""), rows))
            if optional:
                parts.append(
                    f"<p>May be left out: {', '.join(f'<code>{escape(one)}</code>' for one in optional)}.</p>"
                )
        parts.append("</article>")
    parts.append("</section>")
    return "".join(parts)


def _shape(schema: Mapping[str, object]) -> str:
    """Return what values a schema allows, in a few words."""
    if "$ref" in schema:
        name = escape(str(schema["$ref"]).removeprefix(_NAME))
        return f'<a href="#shape-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_shape(one) for one in _objects(schema, "anyOf"))
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list):
        return " ".join(f"<code>{escape(str(one))}</code>" for one in values)
    for name, word in (("items", "list"), ("contentSchema", "stream")):
        if name in schema:
            return f"{word} of {_shape(_object(schema, name))}"
    kind = str(schema.get("format") or schema.get("type") or "anything")
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f"{escape(kind)}, {least} to {most}"
    return escape(kind) + (f", at least {least}" if least is not None else "")


def _example(title: str, value: object) -> str:
    text = escape(json.dumps(value, indent=2, ensure_ascii=False))
    return f'<figure><figcaption>{escape(title)}</figcaption><pre tabindex="0">{text}</pre></figure>'


def _table(title: str, names: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    heading = f"<h4>{escape(title)}</h4>" if title else ""
    return f"{heading}<div class=table><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _method(method: str) -> str:
    return f'<span class="method {escape(method.lower())}">{escape(method)}</span>'


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_words(part)}</p>" for part in text.split("\n\n") if part)


def _words(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _breakable(text: str) -> str:
    """Return a path or a name that may be broken behind its joints on a narrow page."""
    return re.sub(r"([/:.])", r"\1<wbr>", escape(text))


def _object(value: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _objects(value: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    found = value.get(name)
    return found if isinstance(found, list) else []

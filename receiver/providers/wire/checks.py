"""Judging a request field by field, in words a person can act on."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from receiver.domain.errors import FieldProblem, FieldWarning
from receiver.domain.request import Checked
from receiver.providers.wire.links import private_host, problem_with

_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_LONGEST_MODEL = 128


class Findings:
    """Problems and warnings as they are found; exists only while one request is judged."""

    def __init__(self) -> None:
        """Begin with nothing found."""
        self.problems: list[FieldProblem] = []
        self.warnings: list[FieldWarning] = []

    def refuse(self, field: str, message: str) -> None:
        """Note a reason not to accept the request."""
        self.problems.append(FieldProblem(field, message))

    def warn(self, field: str, message: str) -> None:
        """Note what may not turn out as the caller expects."""
        self.warnings.append(FieldWarning(field, message))

    def lacks(self, provider: str, fields: Mapping[str, object]) -> None:
        """Refuse every field that is given although the provider has none by that name."""
        for field, value in fields.items():
            if value is not None:
                self.refuse(field, f"{provider} has no such field; leave it out")

    def text(self, field: str, value: str) -> None:
        """Refuse text that cannot travel as UTF-8 JSON."""
        if _NO_TEXT.search(value):
            self.refuse(field, "holds a NUL character or half a surrogate pair, which is not text")

    def length(self, field: str, value: str, allowed: range) -> None:
        """Refuse text whose number of characters is not in ``allowed``."""
        if len(value) not in allowed:
            missing = "is required: " if not value else ""
            given = f"; {len(value):,} were given" if value else ""
            self.refuse(field, f"{missing}{allowed[0]} to {allowed[-1]:,} characters{given}")

    def number(self, field: str, value: int | None, allowed: range) -> None:
        """Refuse a number that is given and not in ``allowed``."""
        if value is not None and value not in allowed:
            self.refuse(field, f"must be {allowed[0]} to {allowed[-1]:,}; {value:,} was given")

    def one_of(self, field: str, value: int | None, allowed: Sequence[int]) -> None:
        """Refuse a number that is given and not among ``allowed``."""
        if value is not None and value not in allowed:
            self.refuse(field, f"must be one of {_listed(allowed)}; {value} was given")

    def spelt(self, field: str, value: str, allowed: Sequence[str]) -> str:
        """Return ``value`` as the provider spells it, whatever its case; refuse what is not among ``allowed``."""
        for spelling in allowed:
            if spelling.casefold() == value.casefold():
                return spelling
        self.refuse(field, f"must be one of {_listed(allowed)}")
        return value

    def url(self, field: str, value: str) -> None:
        """Refuse what is not an http(s) URL."""
        problem = problem_with(value)
        if problem is not None:
            self.refuse(field, problem)

    def model(self, model: str, default: str, options: Mapping[str, object]) -> None:
        """Refuse another model than the default unless the caller vouches for it with options of its own."""
        if not 0 < len(model) <= _LONGEST_MODEL or not model.isprintable() or " " in model:
            self.refuse("model", f"must be a model's name of up to {_LONGEST_MODEL} characters, such as {default}")
        elif model != default and not options:
            self.refuse(
                "model",
                f"only {default} is known here; another model is passed on unchecked when provider_options "
                "say what it needs",
            )


def warned_of_private_links(checked: Checked, own_url: str) -> Checked:
    """Add a warning for each link that only our own network reaches, unless the provider at ``own_url`` is in it."""
    if private_host(own_url) is not None:
        return checked
    request = checked.request
    links = {"reference_audio": request.reference_audio, "upload_endpoint": request.upload_endpoint}
    warnings = [
        FieldWarning(field, f"{host} is a private address, which the provider cannot reach: use a public link")
        for field, link in links.items()
        if isinstance(link, str) and "://" in link and (host := private_host(link)) is not None
    ]
    return replace(checked, warnings=(*checked.warnings, *warnings))


def _listed(allowed: Iterable[object]) -> str:
    return ", ".join(str(value) for value in allowed)

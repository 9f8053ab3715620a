"""What a caller asks for, in one vocabulary for all providers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from receiver.domain.errors import FieldProblem, FieldWarning
from receiver.domain.values import quick


@dataclass(frozen=True, slots=True)
class InlineAudio:
    """Reference audio that came as base64 or data URI: kept in the object store, named here.

    ``object_key`` is where the text lies exactly as it was sent; ``size`` (bytes) and ``sha256`` are of the
    decoded audio.
    """

    object_key: str
    sha256: str
    size: int


@quick
@dataclass(frozen=True, slots=True)
class TaskRequest:
    """One generation to ask for. ``None`` means "not given": the provider's default holds.

    Lengths, ranges and which fields a provider has at all are checked by that provider's ``check``.
    ``reference_audio`` is a URL, a provider's media id or ``input:<id>`` as text, or inline audio. ``output_format``
    and ``output_type`` are spelt as the provider spells them once checked. ``notify_url`` is ours: no provider sees
    it.
    """

    provider: str
    prompt: str
    reference_audio: str | InlineAudio
    model: str | None = None
    lyrics: str | None = None
    count: int | None = None
    seed: int | None = None
    output_format: str | None = None
    output_type: str | None = None
    sample_rate: int | None = None
    bitrate: int | None = None
    ttl_seconds: int | None = None
    include_cost: bool | None = None
    upload_endpoint: str | None = None
    notify_url: str | None = None
    provider_options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def adopted(self) -> bool:
        """True when nothing is known of what was asked for: the generation was started elsewhere."""
        return not self.prompt and not self.reference_audio


@dataclass(frozen=True, slots=True)
class Checked:
    """A provider's verdict on a request: the normalized request (defaults and spellings filled in) if there
    are no ``problems``, and what to warn of.
    """

    request: TaskRequest
    problems: tuple[FieldProblem, ...] = ()
    warnings: tuple[FieldWarning, ...] = ()

"""Every setting, its meaning and its default; read once: environment, ``.env`` file, secrets folder."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from receiver.domain.delivery import read_secret
from receiver.domain.endpoint import origin
from receiver.lifecycle.ports import Limits, ProviderEntry, Retention
from receiver.settings.sources import PREFIX, SettingsError, key_of, misspelt, nearly_keys, sources

#: A shorter secret could be guessed by asking.
LEAST_KEY_CHARACTERS = 32
__all__ = ["Described", "Loaded", "Settings", "SettingsError", "load", "without_passwords"]

_USER_INFO = re.compile(r"(://).*@")
_QUERY = re.compile(r"(://[^?]*\?).+")
_SECRETS = frozenset(
    {
        "RECEIVER_SIGNING_KEYS",
        "RECEIVER_API_KEYS",
        "RECEIVER_API_KEY",
        "RECEIVER_METRICS_KEY",
        "RECEIVER_S3_SECRET_ACCESS_KEY",
        "RECEIVER_NOTIFY_SECRET",
    }
)


class Settings(BaseSettings):
    """The settings that are not one provider's. Field names are the variables' names without ``RECEIVER_``."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="ignore", hide_input_in_errors=True, frozen=True, env_ignore_empty=True
    )

    public_url: str | None = Field(
        None,
        description="where providers reach us, a path allowed; https, except for allowed private hosts. Without it "
        "Runware tasks carry no webhookURL and are polled",
    )
    data_dir: Path = Field(Path("var"), description="folder for the database, the audio and generated keys")
    database_url: str | None = Field(
        None,
        description="sqlite:///path, or postgresql://user@host/name for several processes (extra `postgres`). "
        "Default: SQLite in the data dir",
    )
    artifact_store_url: str | None = Field(
        None,
        description="where audio is kept: a folder, s3://bucket/prefix, memory://; default: a folder in the data dir",
    )
    s3_endpoint_url: str | None = Field(
        None, description="where the S3 API of s3:// is, when it is not Amazon's; http:// is spoken if it says so"
    )
    s3_region: str | None = Field(None, description="region of the bucket; default: AWS_REGION, else us-east-1")
    s3_access_key_id: str | None = Field(
        None, description="name of the bucket's key; default: AWS_ACCESS_KEY_ID, or what the machine was given"
    )
    s3_secret_access_key: str | None = Field(None, description="the bucket's key itself; default as for its name")
    download_link_seconds: int = Field(
        0,
        ge=0,
        le=3600,
        description="0: audio is served through the service. More: with s3://, callers are redirected to a link into "
        "the bucket that lives so long",
    )
    signing_keys: str | None = Field(
        None,
        description="kid:base64, comma separated; the first signs, all verify. Default: made on the first start. "
        "Required with PostgreSQL",
    )
    api_keys: str | None = Field(
        None,
        description="keys of the /v1 routes, comma separated, each secret or id:secret. Default: made once. "
        "Required with PostgreSQL",
    )
    allowed_private_hosts: str = Field(
        "", description="host, host:port or CIDR, comma separated, where http and non-public addresses are allowed"
    )
    max_callback_bytes: int = Field(96 * 1024 * 1024, ge=1024, description="largest callback taken")
    callback_body_seconds: float = Field(20.0, gt=0, description="time for a callback's body to arrive")
    max_request_bytes: int = Field(72 * 1024 * 1024, ge=1024, description="largest body of POST /v1/tasks")
    unused_input_seconds: float = Field(86400.0, ge=60, description="how long an uploaded file waits for a task")
    max_unused_inputs: int = Field(1000, ge=1, description="uploaded files that may wait for a task; 429 beyond")
    max_unused_input_bytes: int = Field(4 * 1024**3, ge=1024, description="bytes of these files; 429 beyond")
    max_media_bytes: int = Field(512 * 1024 * 1024, ge=1024, description="largest audio file taken in")
    deadline_seconds: float = Field(1800.0, gt=0, description="after this a submitted task is overdue")
    queue_max_seconds: float = Field(86400.0, gt=0, description="after this a task not yet sent has failed")
    lost_after_seconds: float = Field(86400.0, ge=0, description="how long after its deadline a task is lost")
    lease_seconds: float = Field(120.0, ge=1, description="how long a worker may hold a piece of work")
    poll_cost_seconds: float = Field(
        1.0, ge=0.01, le=3600, description="what one more look at a task is worth, in seconds that it waits for it"
    )
    refusal_seconds: float = Field(
        8.0, gt=0, description="first gap after a link was refused; it doubles, and the fifth refusal ends it"
    )
    keep_audio_days: int | None = Field(
        None,
        ge=1,
        le=36500,
        description="days after its task's end for which audio is kept, in reports too; default: for ever",
    )
    keep_reports_days: int | None = Field(
        None, ge=1, le=36500, description="the same for what providers said, verbatim; without it nothing is replayed"
    )
    keep_tasks_days: int | None = Field(
        None, ge=1, le=36500, description="the same for tasks with all that belongs to them: audio, reports, timeline"
    )
    submit_concurrency: int = Field(8, ge=1, le=256, description="submits under way at once, per provider")
    poll_concurrency: int = Field(8, ge=1, le=256, description="polls under way at once, per provider")
    collect_concurrency: int = Field(8, ge=1, le=256, description="audio files fetched at once")
    notify_url: str | None = Field(
        None, description="where your application is told what happens; further ones: /v1/endpoints"
    )
    notify_secret: str | None = Field(
        None,
        description="whsec_ and base64: signs what RECEIVER_NOTIFY_URL is told. Several, comma separated: all sign, "
        "while one takes the place of another",
    )
    notify_timeout_seconds: float = Field(15.0, ge=1, le=60, description="time for an endpoint to answer")
    notify_concurrency: int = Field(8, ge=1, le=64, description="notifications under way at once, per endpoint")
    notify_give_up_seconds: float = Field(
        259200.0, ge=3600, le=2592000, description="what waits so long for a paused endpoint is dead"
    )
    delivery_retention_seconds: float = Field(
        2592000.0, ge=3600, le=31536000, description="how long ended deliveries are listed and can be sent again"
    )
    stop_seconds: float = Field(8.0, gt=0, le=60, description="time for work under way to end at a stop")
    max_connections: int = Field(2000, ge=10, description="connections open at once in this process")
    max_waits: int = Field(64, ge=1, description="callers that may wait for a task at once (?wait=); 429 beyond")
    max_streams: int = Field(64, ge=1, description="event streams open at once; 429 beyond")
    metrics_key: str | None = Field(
        None, description="key that opens /metrics and nothing else; the keys of the /v1 routes open it too"
    )
    metrics_public: bool = Field(
        default=False, description="true: /metrics, /openapi.json and /docs are shown to anybody, without a key"
    )
    trusted_proxies: str = Field(
        "",
        description="addresses or networks of proxies besides this machine, comma separated: they speak for many "
        "callers, whose address is taken from X-Forwarded-For",
    )
    log_level: str = Field("info", description="debug, info, warning or error")
    api_url: str | None = Field(None, description="base of the links shown to callers; default: relative links")
    api_hosts: str = Field("", description="host names of the private side, comma separated; others get 404")

    @field_validator("public_url", "api_url", "s3_endpoint_url")
    @classmethod
    def _is_a_base_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an http(s) URL without query, such as https://hooks.example.org")
        if parts.username is not None or parts.password is not None:
            raise ValueError("must not hold a user name or a password")
        return value.rstrip("/")

    @field_validator("notify_url")
    @classmethod
    def _is_where_to_post(cls, value: str | None) -> str | None:
        if value is not None and (origin(value) is None or "#" in value):
            raise ValueError("must be an http(s) URL without a fragment, such as https://app.example.org/hooks")
        return value

    @field_validator("notify_secret")
    @classmethod
    def _signs(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        if info.data.get("notify_url") is None:
            raise ValueError("signs what RECEIVER_NOTIFY_URL is told, which is not set")
        for secret in value.split(","):
            read_secret(secret.strip())
        return value

    @model_validator(mode="after")
    def _has_what_signs(self) -> Self:
        if self.notify_url is not None and self.notify_secret is None:
            raise ValueError("RECEIVER_NOTIFY_URL needs RECEIVER_NOTIFY_SECRET; `receiver keys new` makes one")
        return self

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        try:
            return ",".join(str(ip_network(part.strip(), strict=False)) for part in value.split(",") if part.strip())
        except ValueError:
            raise ValueError("must be addresses or networks, such as 172.31.250.0/28") from None

    @field_validator("metrics_key")
    @classmethod
    def _is_a_key_of_its_own(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        secret = value.rpartition(":")[2]
        if len(secret) < LEAST_KEY_CHARACTERS:
            raise ValueError(f"must have at least {LEAST_KEY_CHARACTERS} characters; `receiver keys new` makes a key")
        if secret in {key.strip().rpartition(":")[2] for key in (info.data.get("api_keys") or "").split(",")}:
            raise ValueError("is one of RECEIVER_API_KEYS, and so would open everything; make another one")
        return value

    @field_validator("s3_secret_access_key")
    @classmethod
    def _belongs_to_a_name(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and not info.data.get("s3_access_key_id"):
            raise ValueError("needs its name in RECEIVER_S3_ACCESS_KEY_ID")
        return value

    @field_validator("log_level")
    @classmethod
    def _is_a_level(cls, value: str) -> str:
        if value.lower() not in {"debug", "info", "warning", "error"}:
            raise ValueError("must be debug, info, warning or error")
        return value.lower()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from ``load`` alone, which has merged the sources and knows where each came from."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @property
    def sqlite_path(self) -> Path:
        """The file of the embedded database."""
        if self.database_url is None:
            return self.data_dir / "receiver.db"
        return Path(self.database_url.removeprefix("sqlite:///"))

    def limits(self) -> Limits:
        """Return what the steps need to know."""
        return Limits(
            public_url=self.public_url,
            deadline=timedelta(seconds=self.deadline_seconds),
            queue_max=timedelta(seconds=self.queue_max_seconds),
            lost_after=timedelta(seconds=self.lost_after_seconds),
            lease=timedelta(seconds=self.lease_seconds),
            max_callback_bytes=self.max_callback_bytes,
            max_media_bytes=self.max_media_bytes,
            unused_input=timedelta(seconds=self.unused_input_seconds),
            max_unused_inputs=self.max_unused_inputs,
            max_unused_input_bytes=self.max_unused_input_bytes,
            refusal_gap=timedelta(seconds=self.refusal_seconds),
            poll_cost_seconds=self.poll_cost_seconds,
            retention=Retention(
                *(
                    None if days is None else timedelta(days=days)
                    for days in (self.keep_audio_days, self.keep_reports_days, self.keep_tasks_days)
                )
            ),
        )


@dataclass(frozen=True, slots=True)
class Described:
    """One setting as ``receiver settings`` shows it. ``value`` is masked where it is a secret."""

    name: str
    meaning: str
    default: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, each provider's options and key, and where every value came from.

    ``kill_at`` names the checkpoint at which the fault harness has this process killed.
    """

    settings: Settings
    options: Mapping[str, Mapping[str, str]] = field(repr=False)
    keys: Mapping[str, str] = field(repr=False)
    described: tuple[Described, ...] = ()
    kill_at: str | None = None
    option_secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nothing we write may show: the keys we were given, ours without the names before them."""
        settings = self.settings
        given = (settings.api_keys, settings.signing_keys, settings.metrics_key, settings.notify_secret)
        ours = ",".join(key or "" for key in given).replace("\n", ",").split(",")
        bucket = settings.s3_secret_access_key
        others = (*self.keys.values(), *self.option_secrets, *([bucket] if bucket else []))
        return (*others, *(key.strip().rpartition(":")[2] for key in ours))


def load(
    entries: Iterable[ProviderEntry],
    *,
    environ: Mapping[str, str] | None = None,
    env_file: Path | None = Path(".env"),
    overrides: Mapping[str, str] | None = None,
) -> Loaded:
    """Read all settings; later sources win: secrets folder, ``.env``, environment, ``overrides`` (command line).

    Raises SettingsError naming every variable that is wrong, and every ``RECEIVER_`` name that does not exist with
    the nearest one that does.
    """
    entries = tuple(entries)
    origins = sources(environ, env_file, overrides or {})
    values = {name: (value, origin) for origin, found in origins for name, value in found.items() if value}
    known = _known(entries)
    problems = misspelt(origins, known) + nearly_keys(origins, entries)
    ours = {name: values[key][0] for name in Settings.model_fields if (key := PREFIX + name.upper()) in values}
    settings = None
    try:
        settings = Settings.model_validate(ours)
    except ValidationError as error:
        problems += [
            f"{_variable_at(item['loc'])}{_plain(item['type'], item['msg'])}"
            for item in error.errors(include_input=False, include_url=False)
        ]
    if settings is None or problems:
        raise SettingsError("\n".join(problems))
    options = {
        entry.name: {
            option.name: values.get(_variable(entry, option.name), (option.default, ""))[0]
            for option in entry.options
        }
        for entry in entries
    }
    keys = {entry.name: values[key_of(entry)][0] for entry in entries if key_of(entry) in values}
    hidden = {_variable(entry, option.name) for entry in entries for option in entry.options if option.secret}
    secrets = _SECRETS | hidden | {key_of(entry) for entry in entries}
    described = tuple(
        _describe(name, meaning, default, values, secret=name in secrets)
        for name, (meaning, default) in known.items()
    )
    kill_at = values.get("RECEIVER_KILL_AT", ("", ""))[0] or None
    option_secrets = tuple(values[name][0] for name in sorted(hidden & values.keys()))
    return Loaded(settings, options, keys, described, kill_at, option_secrets)


def _variable(entry: ProviderEntry, option: str) -> str:
    return f"{PREFIX}{entry.name}_{option}".upper()


def _known(entries: Sequence[ProviderEntry]) -> dict[str, tuple[str, str]]:
    """Return every variable there is with its meaning and default, in the order people read them."""
    known: dict[str, tuple[str, str]] = {}
    for name, info in Settings.model_fields.items():
        default = "" if info.default is None else str(info.default)
        known[PREFIX + name.upper()] = (info.description or "", default)
    for entry in entries:
        known[key_of(entry)] = (f"key of your {entry.name} account; without it {entry.name} takes no tasks", "")
        for option in entry.options:
            known[_variable(entry, option.name)] = (option.meaning, option.default)
    known["RECEIVER_SECRETS_DIR"] = ("folder with one file per secret, named like its variable", "/run/secrets")
    return known


def _variable_at(place: Sequence[object]) -> str:
    """Return how a message about a setting begins; one about several names them itself."""
    return f"{PREFIX}{'_'.join(str(part) for part in place).upper()}: " if place else ""


def _plain(kind: str, message: str) -> str:
    """Return what is wrong with a value in our words instead of the validator's."""
    if kind.startswith("int"):
        return "must be a whole number"
    if kind.startswith("float"):
        return "must be a number"
    return message.removeprefix("Value error, ").replace("Input should be", "must be")


def _describe(
    name: str, meaning: str, default: str, values: Mapping[str, tuple[str, str]], *, secret: bool
) -> Described:
    value, source = values.get(name, (default, "default"))
    if value and source != "default" and secret:
        value = "[set]"
    return Described(name, meaning, default, without_passwords(value), source)


def without_passwords(url: str) -> str:
    """Return a database's or store's URL as it may be shown: a password stands before the last @ or in the query.

    What is no URL stays as it is.
    """
    return _QUERY.sub(r"\1[set]", _USER_INFO.sub(r"\1[set]@", url))

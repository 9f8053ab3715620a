"""Speaking with the service over HTTP: which one, with which key, and what its refusals mean to a person."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from receiver.cli.failures import CommandError, UsageError
from receiver.sdk import (
    AnswerLostError,
    Client,
    ClientError,
    InvalidRequestError,
    NotFoundError,
    ProblemError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    UnreachableError,
    UnsafeAddressError,
    checked_address,
)
from receiver.storage import keyfiles

#: The option that sets a field of the request, where it is not called like the field.
_OPTIONS = {
    "reference_audio": "--audio",
    "output_format": "--format",
    "ttl_seconds": "--ttl",
    "deadline_seconds": "--deadline",
    "provider_options": "--option",
}


@dataclass(frozen=True, slots=True)
class Service:
    """An address, the key for it, and where that key came from."""

    url: str
    key: str = field(repr=False)
    key_source: str

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        """Open a connection; what goes wrong on it is raised as CommandError with advice."""
        try:
            async with Client(self.url, api_key=self.key) as client:
                yield client
        except ClientError as error:
            raise self.explained(error) from None

    def explained(self, error: ClientError) -> CommandError:
        """Return what an error means to a person, and what they can do."""
        match error:
            case ProblemError():
                told = _from_between(self.url, error) or self._refused(error)
                told.problem = error.document or None
                return told
            case UnreachableError(reason=reason):
                advice = ["start one with `receiver serve`"] if checked_address(self.url) else [f"({reason})"]
                if self.url.startswith("https:") and checked_address(self.url):
                    advice.append("or does it speak http:// here?")
                return CommandError(f"no service at {self.url}", *advice)
            case UnsafeAddressError():
                return UsageError(f"{shown_address(self.url)}: {error}")
            case AnswerLostError():
                return CommandError(f"the service at {self.url} did not answer to the end: {error}")
            case _:
                return CommandError(f"{self.url} does not speak like a receiver: {error}")

    def _refused(self, error: ProblemError) -> CommandError:
        match error:
            case UnauthorizedError():
                return CommandError(
                    f"the service at {self.url} does not take the API key",
                    f"the key came from {self.key_source}",
                    "give another with --api-key or RECEIVER_API_KEY; a .env file is not read for this",
                )
            case InvalidRequestError() if error.remarks:
                remarks = [f"{_field(remark.field)}: {remark.message}" for remark in error.remarks]
                return CommandError("the service does not accept the request", *remarks)
            case NotFoundError():
                return CommandError(
                    f"there is nothing by that name at {self.url}",
                    "or has that process another role than api? name one that has it with --url",
                )
            case UnavailableError() | TooManyRequestsError():
                return CommandError(f"the service at {self.url} cannot do this now: {error}", _when(error))
            case _:
                return CommandError(f"the service at {self.url} says no: {error}")


def _from_between(url: str, error: ProblemError) -> CommandError | None:
    """Return what the answer of a proxy in place of the service means; the service explains all of its own."""
    if error.document:
        return None
    if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return CommandError(
            f"something in front of the service at {url} takes no body of this size (HTTP 413)",
            "raise the proxy's limit for bodies, such as nginx's client_max_body_size",
            "or put the audio where the provider can fetch it and give its URL",
        )
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return CommandError(
            f"something in front of the service at {url} answered in its place (HTTP {error.status})",
            "see that the service runs and the proxy reaches it; what was asked may have had its effect",
        )
    return None


def service(url: str, api_key: str | None, folder: Path) -> Service:
    """Return the service to speak with. Raises UsageError for an address or a key that cannot be used.

    The key file of the data folder belongs to the service of this machine, and is used for no other.
    """
    try:
        local = checked_address(url)
    except UnsafeAddressError as error:
        raise UsageError(f"{shown_address(url)}: {error}") from None
    if api_key:
        return Service(url, api_key, "--api-key or RECEIVER_API_KEY")
    if not local:
        raise UsageError(f"no API key for {url}", "give it with --api-key or RECEIVER_API_KEY")
    return Service(url, *_key_of_this_machine(url, folder))


def shown_address(url: str) -> str:
    """Return an address as it may be shown: without a user name and a password, wherever they were put."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    before, at, place = rest.rpartition("@")
    return f"{scheme}{separator}[hidden]@{place}" if before or at else url


def _key_of_this_machine(url: str, folder: Path) -> tuple[str, str]:
    """Return the local service's key and where it came from: its key file, else its settings, but no ``.env``."""
    path = folder / "api_key"
    try:
        return keyfiles.read(path).split()[0], str(path.absolute())
    except FileNotFoundError:
        configured = _configured(folder)
    except keyfiles.KeyFileError as error:
        raise CommandError(str(error)) from None
    if configured:
        return configured, "RECEIVER_API_KEYS"
    raise CommandError(
        f"no API key for {url}",
        f"there is no {path.absolute()}; `receiver serve` makes it on its first start",
        "give its folder with --data-dir or RECEIVER_DATA_DIR, or the key with --api-key or RECEIVER_API_KEY",
    )


def _configured(folder: Path) -> str | None:
    """Return the first key that the environment or the secrets folder set for the service itself."""
    from receiver.providers import PROVIDERS
    from receiver.settings import SettingsError, load

    try:
        loaded = load(PROVIDERS.values(), env_file=None, overrides={"RECEIVER_DATA_DIR": str(folder)})
    except SettingsError as error:
        raise CommandError("no key file, and the settings cannot be used", *str(error).splitlines()) from None
    return (loaded.settings.api_keys or "").split(",")[0].strip() or None


def _field(name: str) -> str:
    top = name.partition(".")[0]
    return f"{name} ({_OPTIONS[top]})" if top in _OPTIONS else name


def _when(error: ProblemError) -> str:
    seconds = error.retry_after_seconds
    return "nothing was recorded; try again" + (f" in {seconds} s" if seconds else " soon")

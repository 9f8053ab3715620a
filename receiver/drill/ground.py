"""The ground of a drill: folders and settings of its own, on this installation's disks and under its limits."""

import base64
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from receiver.drill.processes import HOST, DrillError, Process, free_port
from receiver.drill.sides import Sides
from receiver.settings import Loaded, Settings

#: Waiting that would make a drill longer and prove nothing more. What a submit is worth that never arrived is known
#: after the last of the look-ups.
QUICK: Mapping[str, str] = {
    "RECEIVER_AIMLAPI_POLL_SECONDS": "0.4",
    "RECEIVER_RUNWARE_POLL_SECONDS": "0.4",
    "RECEIVER_RUNWARE_FIRST_POLL_SECONDS": "3",
    "RECEIVER_AIMLAPI_LOOKUP_SECONDS": "2,4,8,12",
    "RECEIVER_LEASE_SECONDS": "10",
    "RECEIVER_REFUSAL_SECONDS": "0.5",
}


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a drill takes place. ``folder`` holds data and logs, ``places`` are all the folders made for it.

    ``database`` and ``audio`` say where they are kept. Objects below an s3:// stay when the drill is over.
    """

    folder: Path
    places: Sequence[Path]
    settings: Mapping[str, str] = field(repr=False)
    key: str = field(repr=False)
    database: str
    audio: str

    @property
    def logs(self) -> Path:
        """Where the processes write what they have to say."""
        return self.folder / "logs"


@dataclass(frozen=True, slots=True)
class Stage:
    """The processes of a drill, and what they say."""

    sandbox: Process
    services: Sequence[Process]
    sides: Sides


def lay(loaded: Loaded) -> Ground:
    """Make the folders beside the user's data. Raises DrillError when they cannot be made."""
    laid = _laid(loaded)
    try:
        for place in (*laid.places, laid.logs):
            # A folder above that is missing too is left closed, as the service would make it.
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            place.mkdir(mode=0o700)
    except OSError as error:
        clear(laid)
        raise DrillError(f"no folder for the drill can be made: {error.filename} ({error.strerror})") from None
    return laid


def clear(laid: Ground) -> None:
    """Remove everything that was made for a drill, but what it left in a bucket."""
    for place in laid.places:
        shutil.rmtree(place, ignore_errors=True)
        # Where nobody has a data folder yet, there is none afterwards either.
        with suppress(OSError):
            place.parent.rmdir()


@contextmanager
def staged(laid: Ground, seed: int) -> Iterator[Stage]:
    """Start the sandbox and the service for the length of the block, and end them. Raises DrillError."""
    sandbox_port, port = free_port(), free_port()
    sandbox_url, url = f"http://{HOST}:{sandbox_port}", f"http://{HOST}:{port}"
    sandbox = Process(
        ["sandbox", "--host", HOST, "--port", str(sandbox_port), "--seed", str(seed)],
        {},
        laid.logs,
        laid.logs / "sandbox.log",
        sandbox_url,
    )
    environment = {
        **laid.settings,
        "RECEIVER_PUBLIC_URL": url,
        "RECEIVER_RUNWARE_URL": f"{sandbox_url}/runware/v1",
        "RECEIVER_AIMLAPI_URL": f"{sandbox_url}/aimlapi",
        "RECEIVER_ALLOWED_PRIVATE_HOSTS": f"{HOST}:{sandbox_port},{HOST}:{port}",
        "RUNWARE_API_KEY": "drill",
        "AIMLAPI_API_KEY": "drill",
    }
    service = Process(
        ["serve", "--host", HOST, "--port", str(port)], environment, laid.logs, laid.logs / "service.log", url
    )
    try:
        with httpx.Client(timeout=30, trust_env=False) as http:
            sandbox.start()
            service.start()
            yield Stage(sandbox, [service], Sides([url], sandbox_url, laid.key, http))
    finally:
        service.kill()
        sandbox.kill()


def _laid(loaded: Loaded) -> Ground:
    settings = loaded.settings
    name = f"drill-{secrets.token_hex(4)}"
    folder = settings.data_dir.absolute() / name
    if settings.database_url is not None and not settings.database_url.startswith("sqlite:"):
        raise DrillError("the drill knows SQLite only: RECEIVER_DATABASE_URL names another database")
    databases = settings.sqlite_path.absolute().parent / name
    audio, made = _store(settings, folder, name)
    key = secrets.token_hex(32)
    return Ground(
        folder=folder,
        places=list(dict.fromkeys([folder, databases, *made])),
        settings={
            **_limits(settings),
            **QUICK,
            "RECEIVER_DATA_DIR": str(folder),
            "RECEIVER_SECRETS_DIR": str(folder / "no-secrets"),
            "RECEIVER_DATABASE_URL": f"sqlite:///{databases / 'receiver.db'}",
            "RECEIVER_ARTIFACT_STORE_URL": audio,
            "RECEIVER_SIGNING_KEYS": f"drill:{base64.b64encode(secrets.token_bytes(32)).decode()}",
            "RECEIVER_API_KEYS": f"drill:{key}",
            "RECEIVER_LOG_LEVEL": settings.log_level,
        },
        key=key,
        database=f"SQLite in {databases}",
        audio=audio,
    )


def _store(settings: Settings, folder: Path, name: str) -> tuple[str, list[Path]]:
    """Return where the drill's audio is kept, and the folder to be made for it where that is not the drill's own."""
    url = settings.artifact_store_url or ""
    if url.startswith("s3://"):
        return f"{url.rstrip('/')}/{name}", []
    if url and not url.startswith("memory:"):
        path = Path(url.removeprefix("file://")).absolute() / name
        return str(path), [path]
    # What is kept in memory alone does not outlive a kill, and is no part of the proof.
    return str(folder / "artifacts"), []


def _limits(settings: Settings) -> dict[str, str]:
    """Return this installation's own numbers, each a limit or an interval, and its way to the bucket if it has one.

    All other names, addresses and keys stay out.
    """
    return {
        f"RECEIVER_{name.upper()}": str(value)
        for name in sorted(settings.model_fields_set)
        if (isinstance(value := getattr(settings, name), int | float) and not isinstance(value, bool))
        or (name.startswith("s3_") and value is not None)
    }

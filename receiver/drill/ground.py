"""The ground of a drill: folders and settings of its own, on this installation's disks and under its limits."""

import base64
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from receiver.drill import bucket, database
from receiver.drill.processes import HOST, DrillError, Process, finished, free_ports
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

#: Processes of the service where several may share a database.
REPLICAS = 3


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a drill takes place. ``folder`` holds data and logs, ``places`` are all the folders made for it.

    ``database`` and ``audio`` say where they are kept.
    ``beside`` is the PostgreSQL database of the user on whose server the drill has its own, None on SQLite.
    """

    folder: Path
    places: Sequence[Path]
    settings: Mapping[str, str] = field(repr=False)
    key: str = field(repr=False)
    database: str
    audio: str
    beside: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What everything of this drill is named by."""
        return self.folder.name

    @property
    def logs(self) -> Path:
        """Where the processes write what they have to say."""
        return self.folder / "logs"


@dataclass(frozen=True, slots=True)
class Stage:
    """The processes of a drill, what they say, and where the audio is kept where that is a folder."""

    sandbox: Process
    services: Sequence[Process]
    sides: Sides
    audio: Path = Path()


def lay(loaded: Loaded) -> Ground:
    """Make the folders, and where it is PostgreSQL the database, beside the user's. Raises DrillError."""
    laid = _laid(loaded)
    try:
        for place in (*laid.places, laid.logs):
            # A folder above that is missing too is left closed, as the service would make it.
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            place.mkdir(mode=0o700)
    except OSError as error:
        clear(replace(laid, audio=""))
        raise DrillError(f"no folder for the drill can be made: {error.filename} ({error.strerror})") from None
    if laid.beside is None:
        return laid
    try:
        url = database.make(laid.beside, laid.name)
    except DrillError:
        clear(replace(laid, beside=None, audio=""))
        raise
    return replace(laid, settings={**laid.settings, "RECEIVER_DATABASE_URL": url})


def clear(laid: Ground) -> None:
    """Remove everything that was made for a drill. Raises DrillError."""
    for place in laid.places:
        shutil.rmtree(place, ignore_errors=True)
        # Where nobody has a data folder yet, there is none afterwards either.
        with suppress(OSError):
            place.parent.rmdir()
    if laid.beside is not None:
        database.drop(laid.beside, laid.name)
    if laid.audio.startswith("s3://"):
        bucket.empty(laid.audio, laid.settings)


@contextmanager
def staged(laid: Ground, seed: int) -> Iterator[Stage]:
    """Start the sandbox and the service for the length of the block, and end them. Raises DrillError.

    On PostgreSQL the service is several processes, which share the database and the audio.
    """
    replicas = 1 if laid.beside is None else REPLICAS
    sandbox_port, *ports = free_ports(1 + replicas)
    sandbox_url, urls = f"http://{HOST}:{sandbox_port}", [f"http://{HOST}:{port}" for port in ports]
    sandbox = Process(
        ["sandbox", "--host", HOST, "--port", str(sandbox_port), "--seed", str(seed)],
        {},
        laid.logs,
        laid.logs / "sandbox.log",
        sandbox_url,
    )
    environment = {
        **laid.settings,
        "RECEIVER_RUNWARE_URL": f"{sandbox_url}/runware/v1",
        "RECEIVER_AIMLAPI_URL": f"{sandbox_url}/aimlapi",
        "RECEIVER_ALLOWED_PRIVATE_HOSTS": f"{HOST}:{sandbox_port}," + ",".join(f"{HOST}:{port}" for port in ports),
        "RUNWARE_API_KEY": "drill",
        "AIMLAPI_API_KEY": "drill",
    }
    services = [
        Process(
            ["serve", "--host", HOST, "--port", str(port)],
            # Each is called back itself: nothing stands before them that would know who is there.
            {**environment, "RECEIVER_PUBLIC_URL": url},
            laid.logs,
            laid.logs / f"service-{number}.log",
            url,
        )
        for number, (port, url) in enumerate(zip(ports, urls, strict=True), 1)
    ]
    if laid.beside is not None:
        finished(["migrate"], environment, laid.logs, laid.logs / "migrate.log")
    try:
        with httpx.Client(timeout=30, trust_env=False) as http:
            sandbox.start()
            for service in services:
                service.start()
            yield Stage(sandbox, services, Sides(urls, sandbox_url, laid.key, http), Path(laid.audio))
    finally:
        for service in services:
            service.kill()
        sandbox.kill()


def _laid(loaded: Loaded) -> Ground:
    settings = loaded.settings
    # What PostgreSQL and file systems alike take as it is.
    name = f"drill-{secrets.token_hex(4)}"
    folder = settings.data_dir.absolute() / name
    shared = database.is_postgresql(settings.database_url)
    databases = folder if shared else settings.sqlite_path.absolute().parent / name
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
        database=f"PostgreSQL, {name} on your server, {REPLICAS} replicas" if shared else f"SQLite in {databases}",
        audio=audio,
        beside=settings.database_url if shared else None,
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

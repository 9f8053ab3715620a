"""The ground of a drill: folders and settings of its own, on this installation's disks and under its limits."""

import base64
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from receiver.drill import bucket, database, roles
from receiver.drill.door import Door
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


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a drill takes place. ``folder`` holds data and logs, ``places`` are all the folders made for it.

    ``database`` and ``audio`` say where they are kept. ``roles`` says how many processes there are of which role.
    ``beside`` is the PostgreSQL database of the user on whose server the drill has its own, None on SQLite.
    """

    folder: Path
    places: Sequence[Path]
    settings: Mapping[str, str] = field(repr=False)
    key: str = field(repr=False)
    database: str
    audio: str
    beside: str | None = field(default=None, repr=False)
    roles: Mapping[str, int] = field(default_factory=lambda: roles.ALONE)

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


def lay(loaded: Loaded, by_role: Mapping[str, int] | None = None) -> Ground:
    """Make the folders, and where it is PostgreSQL the database, beside the user's. Raises DrillError.

    ``by_role``: how many processes of each role there are to be, on PostgreSQL alone.
    """
    laid = _laid(loaded, by_role)
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

    On PostgreSQL the service is several processes, which share the database and the audio. Where to take callbacks is
    a role of its own, a proxy stands before those who do.
    """
    cast = list(roles.each(laid.roles))
    sandbox_port, *ports = free_ports(1 + len(cast))
    sandbox_url, urls = f"http://{HOST}:{sandbox_port}", [f"http://{HOST}:{port}" for port in ports]
    door = Door([port for (_, role), port in zip(cast, ports, strict=True) if role in {"all", "callbacks"}])
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
        "RECEIVER_ALLOWED_PRIVATE_HOSTS": ",".join(f"{HOST}:{port}" for port in (sandbox_port, door.port, *ports)),
        "RUNWARE_API_KEY": "drill",
        "AIMLAPI_API_KEY": "drill",
    }
    services = [
        Process(
            ["serve", "--host", HOST, "--port", str(port), "--role", role],
            # Who does everything is called back itself: what it has sent may find nobody there.
            {**environment, "RECEIVER_PUBLIC_URL": url if role == "all" else door.url},
            laid.logs,
            laid.logs / f"{name}.log",
            url,
        )
        for (name, role), port, url in zip(cast, ports, urls, strict=True)
    ]
    asked = [url for (_, role), url in zip(cast, urls, strict=True) if role in {"all", "api"}]
    called = [url for (_, role), url in zip(cast, urls, strict=True) if role in {"all", "callbacks"}]
    try:
        if laid.beside is not None:
            finished(["migrate"], environment, laid.logs, laid.logs / "migrate.log")
        with httpx.Client(timeout=30, trust_env=False) as http:
            sandbox.start()
            for service in services:
                service.start()
            sides = Sides(asked, sandbox_url, laid.key, http, called)
            yield Stage(sandbox, services, sides, Path(laid.audio))
    finally:
        door.close()
        for service in services:
            service.kill()
        sandbox.kill()


def _laid(loaded: Loaded, by_role: Mapping[str, int] | None) -> Ground:
    settings = loaded.settings
    # What PostgreSQL and file systems alike take as it is.
    name = f"drill-{secrets.token_hex(4)}"
    folder = settings.data_dir.absolute() / name
    shared = database.is_postgresql(settings.database_url)
    databases = folder if shared else settings.sqlite_path.absolute().parent / name
    audio, made = _store(settings, folder, name)
    key = secrets.token_hex(32)
    taking_part = (by_role or roles.REPLICAS) if shared else roles.ALONE
    where = f"PostgreSQL, {name} on your server, {roles.words(taking_part)}" if shared else f"SQLite in {databases}"
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
        database=where,
        audio=audio,
        beside=settings.database_url if shared else None,
        roles=taking_part,
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

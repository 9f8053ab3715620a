"""What the demo stands on: a folder, two ports, and settings that nothing around it can change."""

import os
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import receiver
from receiver.cli.failures import CommandError, UsageError

_MARK = ".receiver-demo"
_HOST = "127.0.0.1"
#: Where Python finds this package, wherever a child is started.
_HOUSE = Path(next(iter(receiver.__path__))).parent


@dataclass(frozen=True, slots=True)
class Scene:
    """The folder of a demo: the receiver's data folder, with the logs of both processes besides."""

    folder: Path

    @property
    def logs(self) -> Path:
        """Where the processes write what they have to say."""
        return self.folder / "logs"

    @property
    def audio(self) -> Path:
        """Where the receiver's artifact store puts audio: ``<two letters>/<sha256>.<ending>``."""
        return self.folder / "artifacts" / "audio"


@dataclass(frozen=True, slots=True)
class Ports:
    """A free port for each process."""

    sandbox: int
    receiver: int


def scene(folder: Path | None) -> Scene:
    """Return a folder for a demo, made now or left by an earlier one. Raises CommandError, UsageError."""
    try:
        if folder is None:
            chosen = Path(tempfile.mkdtemp(prefix="receiver-demo-"))
        else:
            chosen = folder.absolute()
            chosen.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(chosen.iterdir()) and not (chosen / _MARK).is_file():
                raise UsageError(f"--data-dir: {chosen} holds something else than a demo", "give an empty folder")
        (chosen / _MARK).write_text("Made by `receiver demo`; delete it when you like.\n", "utf-8")
        made = Scene(chosen)
        made.logs.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise CommandError(f"the folder of the demo cannot be used: {error.filename} ({error.strerror})") from None
    return made


def free_ports() -> Ports:
    """Return two ports that are free at this moment; somebody else may still be faster."""
    with socket.create_server((_HOST, 0)) as one, socket.create_server((_HOST, 0)) as other:
        return Ports(one.getsockname()[1], other.getsockname()[1])


def taken(port: int) -> bool:
    """Tell whether somebody listens on a port."""
    try:
        with socket.create_server((_HOST, port)):
            return False
    except OSError:
        return True


def sandbox_command(ports: Ports, seed: int) -> list[str]:
    """Return the arguments of `receiver` for the providers: twenty times as fast, which is a second or two."""
    return ["sandbox", "--host", _HOST, "--port", str(ports.sandbox), "--time-scale", "0.05", "--seed", str(seed)]


def receiver_command(ports: Ports) -> list[str]:
    """Return the arguments of `receiver` for the service."""
    return ["serve", "--host", _HOST, "--port", str(ports.receiver)]


def environment(stage: Scene, ports: Ports) -> dict[str, str]:
    """Return a child's environment: ours without anything that sets up a receiver, and then the demo's settings.

    The children run in the folder of the logs, where there is no ``.env``.
    """
    ours = os.environ  # noqa: TID251 - a child's environment is made from ours
    kept = {name: value for name, value in ours.items() if not _sets_up_a_receiver(name)}
    return kept | settings(stage, ports) | {"PYTHONPATH": os.pathsep.join(_search_path(ours))}


def settings(stage: Scene, ports: Ports) -> dict[str, str]:
    """Return the settings of the demo's receiver: everything goes to the sandbox, nothing anywhere else."""
    sandbox, here = f"{_HOST}:{ports.sandbox}", f"{_HOST}:{ports.receiver}"
    return {
        "RECEIVER_DATA_DIR": str(stage.folder),
        "RECEIVER_SECRETS_DIR": str(stage.folder / "no-secrets"),
        "RECEIVER_PUBLIC_URL": f"http://{here}",
        "RECEIVER_RUNWARE_URL": f"http://{sandbox}/runware/v1",
        "RECEIVER_AIMLAPI_URL": f"http://{sandbox}/aimlapi",
        "RECEIVER_ALLOWED_PRIVATE_HOSTS": f"{sandbox},{here}",
        "RUNWARE_API_KEY": "demo",
        "AIMLAPI_API_KEY": "demo",
        # A generation takes a second or two here instead of half a minute.
        "RECEIVER_AIMLAPI_POLL_SECONDS": "0.5",
        "RECEIVER_RUNWARE_FIRST_POLL_SECONDS": "10",
        "RECEIVER_STOP_SECONDS": "2",
    }


def python() -> list[str]:
    """Return how a child is started: this Python, this package, nothing from the folder it runs in."""
    return [sys.executable, "-P", "-m", "receiver"]


def _sets_up_a_receiver(name: str) -> bool:
    return name.upper().startswith("RECEIVER_") or name.upper().endswith("_API_KEY")


def _search_path(ours: Mapping[str, str]) -> list[str]:
    return [str(_HOUSE), *filter(None, [ours.get("PYTHONPATH")])]

"""`receiver demo`: the main job on this machine, with real processes, and the proof that it was done.

scene     the folder, the ports, the settings: everything that the demo must not take from its surroundings
children  the two processes, which end with us whatever ends us
play      starting, submitting, following
proof     are the files there, and do they hold what the providers made?
finale    the table at the end
"""

from pathlib import Path
from typing import Annotated

import typer

from receiver.cli import options


def demo(
    *,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            metavar="DIR",
            help="Folder for everything that comes about: new, empty, or of an earlier demo. "
            "Default: a new one among the temporary files.",
        ),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Go on serving afterwards, until Ctrl-C.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=1.0, help="Seconds that it may take at most.")
    ] = 60.0,
    as_json: options.Json = False,
) -> None:
    """Show the main job on this machine: no keys, no configuration."""
    from receiver.cli.demo.play import play
    from receiver.cli.demo.scene import scene
    from receiver.cli.running import run

    stage = scene(folder)
    run(lambda: play(stage, timeout_seconds=timeout, keep=keep, as_json=as_json))

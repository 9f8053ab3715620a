"""What a person types: the command `receiver`. Each command reads its options, calls one thing, shows the answer.

A command's module imports what it needs when it runs: `receiver --help` is there at once.

Rooms:
    serve sandbox demo migrate keys settings   what runs on this machine
    doctor completion                          the same: is it fit; a script for the shell
    submit tasks task watch operate            what speaks with a service over HTTP
    adopt replay erase stats                   the same
    endpoints deliveries                       the same: where your application is told, and what of
    options, service                           shared options; which service, which key, what its refusals mean
    naming, awaited                            which task is meant; what it waits for, in words
    following, waiting, saving                 following a task to its end; audio files on this disk
    screen, table, words                       printing, and the one function that every foreign string passes
    failures, running                          how a command fails; the loop that it runs on
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

from receiver.cli.application import run


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 failed, 2 usage."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))

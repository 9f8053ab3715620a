"""`receiver drill`: the loss proof on this installation, beside the user's data; the balance at its end."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from receiver.cli import options
from receiver.cli.failures import CommandError, UsageError

if TYPE_CHECKING:
    from receiver.drill.ground import Ground
    from receiver.drill.play import Plan

_MINUTE = 60
_USUAL_MINUTES = 1.0
_MOST_BACK_OFF_SECONDS = 150.0


def drill(
    *,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            metavar="N",
            min=0.05,
            help="Minutes of load, faults and kills. Default: 1, or as long as --kills or --callbacks take.",
            show_default=False,
        ),
    ] = None,
    kills: Annotated[
        int | None,
        typer.Option(
            "--kills",
            metavar="N",
            min=0,
            help="How often the service is killed. Default: every few seconds.",
            show_default=False,
        ),
    ] = None,
    callbacks: Annotated[
        int | None,
        typer.Option(
            "--callbacks", metavar="N", min=1, help="Go on until so many callbacks are due.", show_default=False
        ),
    ] = None,
    faults: Annotated[
        list[str] | None,
        typer.Option(
            "--faults",
            metavar="NAME=VALUE",
            help="A fault of the sandbox as `receiver sandbox --help` lists them, such as drop=0.5; repeatable.",
            show_default=False,
        ),
    ] = None,
    store_outages: Annotated[
        int, typer.Option("--store-outages", metavar="N", min=0, help="How often the folder of the audio is away.")
    ] = 0,
    outage_seconds: Annotated[
        float, typer.Option("--outage-seconds", metavar="SECONDS", min=1, help="For how long each time.")
    ] = 60.0,
    roles: Annotated[
        str | None,
        typer.Option(
            "--roles",
            metavar="ROLE=N,ROLE=N",
            help="Processes by role in place of three that do everything, such as callbacks=2,worker=2,api=1.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="NUMBER", min=0, help="The same seed, the same faults. Default: drawn anew."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep its folder; after a failure it is kept anyway.")] = False,
    folder: options.DataFolder = None,
    as_json: options.Json = False,
) -> None:
    """Prove on this machine that nothing is lost, beside your data.

    A service and a sandbox of its own, under load, faults and kill -9; then one balance between both. Your tasks,
    your keys and the providers are left alone. Exit 0 only if the balance is exact.
    """
    from receiver.cli.drilling import Screen
    from receiver.cli.local import loaded_settings
    from receiver.cli.running import interruptible
    from receiver.drill.ground import lay, staged
    from receiver.drill.play import play
    from receiver.drill.processes import DrillError

    plan = _plan(minutes, kills, callbacks, faults or [], seed)
    loaded = loaded_settings(folder)
    by_role = None if roles is None else _by_role(roles, loaded.settings.database_url)
    if store_outages:
        if (loaded.settings.artifact_store_url or "").startswith("s3://"):
            raise UsageError("--store-outages takes a folder away; a bucket of yours is left alone")
        # Whoever waits for the store tries again after two minutes at the latest.
        plan = replace(
            plan,
            store_outages=store_outages,
            outage_seconds=outage_seconds,
            rest_seconds=plan.rest_seconds + _MOST_BACK_OFF_SECONDS,
            most_seconds_to_end=plan.most_seconds_to_end + _MOST_BACK_OFF_SECONDS,
        )
    laid = None
    try:
        with interruptible():
            laid = lay(loaded, by_role)
            with Screen(laid, as_json=as_json) as shown:
                shown.opening(plan)
                with staged(laid, plan.seed) as stage:
                    account = play(stage, plan, shown.progress)
    except DrillError as error:
        first, *rest = str(error).splitlines()
        where = [] if laid is None else [f"what both processes logged: {laid.logs}"]
        raise CommandError(first, *rest, *where) from None
    except KeyboardInterrupt:
        if laid is not None:
            _clear(laid)
        raise
    kept = keep or not account.exact
    shown.result(account, plan, kept=kept)
    if not kept:
        _clear(laid)
    if not account.exact:
        raise typer.Exit(1)


def _by_role(text: str, database_url: str | None) -> Mapping[str, int]:
    from receiver.drill.database import is_postgresql
    from receiver.drill.roles import read

    if not is_postgresql(database_url):
        raise UsageError("--roles needs PostgreSQL: on SQLite one process does everything")
    try:
        return read(text)
    except ValueError as error:
        raise UsageError(f"--roles {error}") from None


def _clear(laid: "Ground") -> None:
    from receiver.drill.ground import clear
    from receiver.drill.processes import DrillError

    try:
        clear(laid)
    except DrillError as error:
        raise CommandError(f"not all of {laid.name} could be removed: {error}") from None


def _plan(
    minutes: float | None, kills: int | None, callbacks: int | None, faults: list[str], seed: int | None
) -> "Plan":
    from receiver.drill.play import FAULTS, Plan
    from receiver.sandbox.faults_reader import FaultsError, faults_document, faults_from_text
    from receiver.system import RealSystem

    typed = options.pairs(faults, "--faults")
    try:
        document = faults_document(faults_from_text(typed))
    except FaultsError as error:
        mistakes = [f"--faults {mistake.field}: {mistake.message}" for mistake in error.mistakes]
        raise UsageError(*mistakes) from None
    if minutes is None:
        minutes = 0.0 if kills or callbacks else _USUAL_MINUTES
    return Plan(
        name="drill",
        seconds=minutes * _MINUTE,
        kills=kills,
        callbacks=callbacks or 0,
        faults={**FAULTS, **{name: document[name] for name in typed}},
        seed=RealSystem().new_id().int % 2**31 if seed is None else seed,
        pause_seconds=0.0 if callbacks else 0.1,
        kill_gap_seconds=(0.05, 5.0) if kills is None else (0.05, 2.0),
    )

"""`receiver keys`: new keys to put into the settings, and a new signing key for a service that made its own."""

import typer

from receiver.cli import options, screen
from receiver.cli.failures import CommandError


def family(*, pretty: bool) -> typer.Typer:
    """Return the commands below `keys`."""
    app = typer.Typer(
        name="keys",
        help="Make keys, and change the signing key.",
        no_args_is_help=False,
        rich_markup_mode="rich" if pretty else None,
    )
    app.command("new")(new)
    app.command("rotate")(rotate)
    return app


def new(*, as_json: options.Json = False) -> None:
    """Print a new signing key, API key and secret of notifications. They are kept nowhere."""
    from receiver import bootstrap

    keys = bootstrap.new_keys()
    if as_json:
        screen.document(dict(keys))
        return
    screen.line("# Made just now and kept nowhere: this is the only time that they are shown.", error=True)
    screen.line(f"RECEIVER_SIGNING_KEYS={keys['signing_key']}")
    screen.line(f"RECEIVER_API_KEYS={keys['api_key']}")
    screen.line("# Only with RECEIVER_NOTIFY_URL, whose notifications it signs:")
    screen.line(f"# RECEIVER_NOTIFY_SECRET={keys['notify_secret']}")


def rotate(*, folder: options.DataFolder = None, as_json: options.Json = False) -> None:
    """Put a new signing key first; the old ones go on verifying."""
    from receiver import bootstrap
    from receiver.cli.local import loaded_settings, refusals

    loaded = loaded_settings(folder)
    path = loaded.settings.data_dir.absolute() / "signing_keys"
    if not loaded.settings.signing_keys and not path.exists():
        raise CommandError(f"nothing to rotate: there is no {path}", "`receiver serve` makes it on its first start")
    with refusals():
        name = bootstrap.rotate_signing_key(loaded)
    if as_json:
        screen.document({"kid": name})
    else:
        screen.line(
            "Signing key ",
            screen.foreign(name),
            " is first in ",
            screen.foreign(path),
            "; older ones go on verifying.",
        )
        screen.line("A service that runs signs with it once it has been started again.")

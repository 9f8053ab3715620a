"""`receiver migrate`: bring the database's schema up to date."""

from receiver.cli import options, screen


def migrate(*, folder: options.DataFolder = None, as_json: options.Json = False) -> None:
    """Bring the database up to date; on SQLite serve does it."""
    from receiver import bootstrap
    from receiver.cli.local import loaded_settings, refusals

    loaded = loaded_settings(folder)
    with refusals():
        revision = bootstrap.migrate(loaded)
    if as_json:
        screen.document({"revision": revision})
    else:
        screen.line("The database is at revision ", screen.foreign(revision), ".")

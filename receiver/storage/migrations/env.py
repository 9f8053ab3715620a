"""What alembic runs around the revisions: on the connection that it is handed, in that connection's transaction."""

from alembic import context

from receiver.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite alters a table by building it anew.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()

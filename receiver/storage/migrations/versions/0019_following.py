"""On PostgreSQL a trigger takes results, audio and events along with their task, and no key checks each."""

from alembic import op

revision = "0019"
down_revision = "0018"

# The trigger first: at no moment is a task deleted without what belongs to it.
_FUNCTION = """
CREATE FUNCTION follow_tasks() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM events USING gone WHERE events.task_key = gone.key;
    DELETE FROM artifacts USING gone WHERE artifacts.task_key = gone.key;
    DELETE FROM results USING gone WHERE results.task_key = gone.key;
    RETURN NULL;
END
$$
"""
_TRIGGER = """
CREATE TRIGGER tasks_followed AFTER DELETE ON tasks REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION follow_tasks()
"""


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute(_FUNCTION)
        op.execute(_TRIGGER)
        for table in ("events", "artifacts", "results"):
            op.drop_constraint(f"{table}_task_key_fkey", table, type_="foreignkey")

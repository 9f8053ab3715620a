"""What the engines do by themselves at our changes."""

#: Before the first row of a statement gets its number (see sharing). The key of the lock: 16 bits that say what it is
#: about, 48 of the number given last.
_ANNOUNCED = (
    """
CREATE FUNCTION announce_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared((x'5245'::bigint << 48) | last_value) FROM events_id_seq;
    RETURN NULL;
END
$$
""",
    "CREATE TRIGGER events_announced BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION announce_events()",
)
#: What no foreign key ties to a task goes with it when it is deleted, by whomever; not when ``tasks`` is truncated.
#: Whoever writes such a row has locked the task, or made it in the same transaction: it is committed before the task
#: is deleted, and seen here, or finds no task to write it of. No engine refuses one that does otherwise.
_FOLLOWING = (
    """
CREATE FUNCTION follow_tasks() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM events USING gone WHERE events.task_key = gone.key;
    DELETE FROM artifacts USING gone WHERE artifacts.task_key = gone.key;
    DELETE FROM results USING gone WHERE results.task_key = gone.key;
    RETURN NULL;
END
$$
""",
    """
CREATE TRIGGER tasks_followed AFTER DELETE ON tasks REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION follow_tasks()
""",
)
_FOLLOWING_ONE_BY_ONE = (
    """
CREATE TRIGGER tasks_followed AFTER DELETE ON tasks BEGIN
    DELETE FROM events WHERE task_key = OLD."key";
    DELETE FROM artifacts WHERE task_key = OLD."key";
    DELETE FROM results WHERE task_key = OLD."key";
END
""",
)
#: By the name of the dialect.
TRIGGERS = {"postgresql": (*_ANNOUNCED, *_FOLLOWING), "sqlite": _FOLLOWING_ONE_BY_ONE}

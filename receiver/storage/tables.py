"""The tables and their indexes; each index is there for one lease, one sweep or one list.

Small and changing apart from large and unchanging: a row of ``tasks`` is rewritten at every step of its task, so what
was asked for lies in ``requests``; ``reports`` only grows, so what was made of a report lies in ``rulings``, if that
is more than that it was settled.

Four tables are queues: tasks (submit, poll, look up), inbox (settle), artifacts (collect). A row carries when it is
due and until when a worker has claimed it; ``free_at``, which the database computes, is the later of the two: the
one moment that says when the row may be taken, and the end of the index that finds it.

Keys are UUID v7, made in the order of time, and tables whose rows are small are stored in the order of their key
(``WITHOUT ROWID``): a new row goes to the end instead of a random page.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    event,
    text,
)

from receiver.storage.triggers import TRIGGERS
from receiver.storage.types import Document, Key, Moment

metadata = MetaData()

#: Both moments are null-safe: without a lease the row is free when due, and what is never due is never free.
FREE_AT = "CASE WHEN lease_until > due_at THEN lease_until ELSE due_at END"
#: Rulings on reports that were not simply believed; spelt alike in the index of them and in what asks it.
SET_ASIDE = "verdict IN ('quarantined', 'conflict')"


def _index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """Return an index of the rows alone for which a condition is true, on either engine."""
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


def _of_task(*, primary: bool = True) -> Column[object]:
    """The column of a table whose rows go when their task goes."""
    return Column("task_key", Key, ForeignKey("tasks.key", ondelete="CASCADE"), primary_key=primary, nullable=False)


def _of_moving_task(*, primary: bool = True) -> Column[object]:
    """The same for rows that are written by the thousand, each in a transaction that has locked its task.

    For a foreign key that task would be looked for again for every row, a quarter of all that PostgreSQL did; instead
    a trigger takes the rows along with their task (see ``triggers``).
    """
    return Column("task_key", Key, primary_key=primary, nullable=False)


installation = Table(
    "installation",
    metadata,
    Column("id", LargeBinary(16), primary_key=True),
    Column("probe", LargeBinary),
    sqlite_with_rowid=False,
)

tasks = Table(
    "tasks",
    metadata,
    Column("key", Key, primary_key=True),
    Column("id", Key, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("deadline_seconds", Float, nullable=False),
    # Both stand in what was asked for; here so that a usual callback needs no look at that.
    Column("expected", Integer),
    Column("ttl_seconds", BigInteger),
    Column("status", Text, nullable=False),
    Column("overdue", Boolean, nullable=False),
    Column("provider_task_id", Text),
    Column("pushed", Boolean, nullable=False),
    Column("submitted_at", Moment),
    Column("settled_at", Moment),
    Column("completed_at", Moment),
    Column("deadline_at", Moment),
    Column("told_cost_micros", BigInteger),
    Column("polls", Integer, nullable=False),
    Column("callbacks", Integer, nullable=False),
    Column("errors", Document),
    Column("work", Text),
    Column("due_at", Moment),
    Column("tries", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("attempt_open_since", Moment),
    Column("unknown_since", Moment),
    Column("doubt", Document),
    Column("doubt_since", Moment),
    Column("answer_digest", LargeBinary(32)),
    Column("quiet_since", Moment),
    Column("looked_at", Moment),
    Column("fault", Text),
    # Both follow from the results; here so that figures over many tasks need no look at those.
    Column("cost_micros", BigInteger),
    Column("missed", Boolean),
    Column("last_seq", Integer, nullable=False),
    Column("lease_until", Moment),
    Column("lease_owner", Key),
    Column("free_at", Moment, Computed(FREE_AT, persisted=True)),
    Index("tasks_id", "id", unique=True),
    _index(
        "tasks_provider_task_id",
        "provider",
        "provider_task_id",
        unique=True,
        where="provider_task_id IS NOT NULL",
    ),
    _index("tasks_work", "work", "provider", "free_at", where="work IS NOT NULL"),
    _index("tasks_waiting", "overdue", "deadline_at", where="status IN ('submitted', 'unknown')"),
    _index("tasks_attempt_open", "attempt_open_since", where="attempt_open_since IS NOT NULL"),
    # Holds all that statistics ask of ended tasks. A task enters it when it ends, and is moved in it by what little
    # still changes then: a result that was replaced, a lost task that was found, a cost that was told late.
    _index(
        "tasks_ended",
        "provider",
        "model",
        "status",
        "completed_at",
        "submitted_at",
        "polls",
        "missed",
        "cost_micros",
        where="completed_at IS NOT NULL",
    ),
    # The provider last: a list by both reads nothing but this, in the order of a list by either.
    Index("tasks_status", "status", "key", "provider"),
    Index("tasks_provider", "provider", "key"),
    Index("tasks_created", "created_at"),
    sqlite_with_rowid=False,
)

requests = Table(
    "requests",
    metadata,
    _of_task(),
    Column("request", Document, nullable=False),
    Column("warnings", Document),
    sqlite_with_rowid=False,
)

task_metadata = Table(
    "task_metadata",
    metadata,
    _of_task(),
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Index("task_metadata_value", "name", "value", "task_key"),
    sqlite_with_rowid=False,
)

attempts = Table(
    "attempts",
    metadata,
    _of_task(),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("outcome", Text),
    Column("http_status", Integer),
    Column("detail", Text),
    # What went over the wire, for people: no list reads it.
    Column("sent", LargeBinary),
    Column("answered", LargeBinary),
    sqlite_with_rowid=False,
)

results = Table(
    "results",
    metadata,
    _of_moving_task(),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("id", Key, nullable=False),
    Column("identity", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("report_id", Key, nullable=False),
    Column("inline", Boolean, nullable=False),
    Column("late", Boolean, nullable=False),
    Column("provider_result_id", Text),
    Column("seed", BigInteger),
    Column("cost_micros", BigInteger),
    Column("link", Text),
    # For a person who has nothing but the id of one result: ours, made in the order of time (see finding).
    Index("results_id", "id"),
    sqlite_with_rowid=False,
)

artifacts = Table(
    "artifacts",
    metadata,
    _of_moving_task(),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("result_id", Key, nullable=False),
    Column("link_expires_at", Moment),
    Column("status", Text, nullable=False),
    Column("due_at", Moment),
    Column("attempts", Integer, nullable=False),
    Column("refusals", Integer, nullable=False),
    Column("first_refused_at", Moment),
    Column("object_key", Text),
    Column("size", BigInteger),
    Column("sha256", Text),
    Column("media_type", Text),
    Column("duration_seconds", Float),
    Column("error", Text),
    Column("lease_until", Moment),
    Column("lease_owner", Key),
    Column("free_at", Moment, Computed(FREE_AT, persisted=True)),
    _index("artifacts_work", "free_at", "link_expires_at", where="free_at IS NOT NULL"),
    # Whose links die first, of those that may be fetched.
    _index(
        "artifacts_dying", "link_expires_at", "free_at", where="free_at IS NOT NULL AND link_expires_at IS NOT NULL"
    ),
    _index("artifacts_leased", "result_id", where="lease_until IS NOT NULL"),
    # Who else has these bytes; and whose audio is kept for longest, as keys are made in the order of time.
    _index("artifacts_object", "object_key", where="object_key IS NOT NULL"),
    _index("artifacts_kept", "task_key", where="object_key IS NOT NULL"),
    sqlite_with_rowid=False,
)

events = Table(
    "events",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    _of_moving_task(primary=False),
    Column("seq", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("data", Document, nullable=False),
    Index("events_task", "task_key", "seq", unique=True),
    # An id is never given twice, not even after the newest event was erased: readers resume by it.
    sqlite_autoincrement=True,
)


def _triggered(_: MetaData, connection: Connection, **__: object) -> None:
    for statement in TRIGGERS[connection.dialect.name]:
        connection.exec_driver_sql(statement)


event.listen(metadata, "after_create", _triggered)

# No foreign key: a report of a task we do not know (a restored backup) is kept like any other.
reports = Table(
    "reports",
    metadata,
    Column("id", Key, primary_key=True),
    Column("task_key", Key, nullable=False),
    Column("provider", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("object_key", Text),
    Column("content_type", Text),
    Column("sliced", Boolean, nullable=False),
    Column("duplicate_of", Key),
    Column("doubt", Text),
    # Last, so that the other columns of a large row are read without its overflow pages.
    Column("body", LargeBinary, nullable=False),
    Index("reports_task", "task_key", "sha256"),
)

rulings = Table(
    "rulings",
    metadata,
    Column("report_id", Key, primary_key=True),
    Column("verdict", Text, nullable=False),
    Column("reason", Text),
    # What a person looks for among millions that were simply believed.
    Index("rulings_set_aside", "report_id", sqlite_where=text(SET_ASIDE), postgresql_where=text(SET_ASIDE)),
    sqlite_with_rowid=False,
)

# Without an index of its own: ids grow with time, so the oldest line is the first, and a line that is claimed or put
# off is stepped over. A deferred line is one that is claimed by nobody.
inbox = Table(
    "inbox",
    metadata,
    Column("report_id", Key, primary_key=True),
    Column("due_at", Moment, nullable=False),
    Column("lease_until", Moment),
    Column("lease_owner", Key),
    Column("attempts", Integer, nullable=False),
    sqlite_with_rowid=False,
)

# Apart from ``tasks``, so that the door can ask about a callback's task without a look at that table.
erasures = Table(
    "erasures",
    metadata,
    Column("task_key", Key, primary_key=True),
    Column("erased_at", Moment, nullable=False),
    sqlite_with_rowid=False,
)

_WAITS_FOR_A_TASK = text("unused_until IS NOT NULL")
# Files that callers uploaded. One that a task was made with is kept as long as that task; ``unused_until``, null from
# then on unless the file is uploaded again, is how long it is kept without one.
inputs = Table(
    "inputs",
    metadata,
    Column("id", Key, primary_key=True),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("duration_seconds", Float, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("extension", Text, nullable=False),
    Column("unused_until", Moment),
    Index("inputs_sha256", "sha256", unique=True),
    Index("inputs_unused", "unused_until", sqlite_where=_WAITS_FOR_A_TASK, postgresql_where=_WAITS_FOR_A_TASK),
    sqlite_with_rowid=False,
)

input_uses = Table(
    "input_uses",
    metadata,
    _of_task(),
    Column("input_id", Key, ForeignKey("inputs.id"), nullable=False),
    Index("input_uses_input", "input_id"),
    sqlite_with_rowid=False,
)

report_counters = Table(
    "report_counters",
    metadata,
    Column("task_key", Key, primary_key=True),
    Column("extra_duplicates", Integer, nullable=False),
    sqlite_with_rowid=False,
)

provider_pauses = Table(
    "provider_pauses",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("until", Moment, nullable=False),
    Column("error", Document, nullable=False),
)

# How we stand with each provider, where several processes serve one account; every moment in seconds since 1970.
provider_standings = Table(
    "provider_standings",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("empty_at", Float),
    Column("unclear_in_a_row", Integer, nullable=False),
    Column("rests", Integer, nullable=False),
    Column("rested_at", Float),
    Column("probed_until", Float),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("caller", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("task_id", Key, nullable=False),
    Column("created_at", Moment, nullable=False),
    Index("idempotency_created", "created_at"),
    sqlite_with_rowid=False,
)

# Of those who signed out before their time was up: the sha256 of what their cookie holds, until it holds no more.
ended_sessions = Table(
    "ended_sessions",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("until", Moment, nullable=False),
    sqlite_with_rowid=False,
)

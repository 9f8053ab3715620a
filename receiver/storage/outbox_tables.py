"""The tables of notifications: endpoints, and deliveries, which are their queue.

A delivery is due only while no earlier one of its task is on its way to the same endpoint; until then ``due_at`` is
NULL and no claim finds it. Whatever changes the deliveries of a task holds the lock of its row in ``tasks``.
"""

from sqlalchemy import Boolean, Column, Computed, ForeignKey, Index, Integer, Table, Text, text

from receiver.storage.tables import FREE_AT, metadata
from receiver.storage.types import Document, Key, Moment

endpoints = Table(
    "endpoints",
    metadata,
    Column("id", Key, primary_key=True),
    Column("url", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("types", Document),
    Column("sealed", Text),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("since", Moment),
    Column("failures", Integer, nullable=False),
    Column("failing_since", Moment),
    Column("proven", Boolean, nullable=False),
    Column("rests_until", Moment),
    Column("removed_at", Moment),
    sqlite_with_rowid=False,
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Key, primary_key=True),
    Column("task_key", Key, ForeignKey("tasks.key", ondelete="CASCADE"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("endpoint_id", Key, ForeignKey("endpoints.id", ondelete="CASCADE"), nullable=False),
    Column("type", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("result_id", Key),
    Column("status", Text, nullable=False),
    # 0: never sent. 1: sent before, or again by somebody's wish; such ones never keep first attempts waiting.
    Column("lane", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("due_at", Moment),
    Column("ended_at", Moment),
    Column("error", Text),
    Column("outcomes", Document),
    Column("claims", Integer, nullable=False),
    Column("lease_until", Moment),
    Column("lease_owner", Key),
    Column("free_at", Moment, Computed(FREE_AT, persisted=True)),
    # Since when it is on its way, where that is not since its event: when somebody had it sent again.
    Column("begun_at", Moment),
    # One for each event and endpoint, and the order within a task.
    Index("deliveries_task", "task_key", "endpoint_id", "seq", unique=True),
    Index(
        "deliveries_work",
        "endpoint_id",
        "lane",
        "free_at",
        sqlite_where=text("free_at IS NOT NULL"),
        postgresql_where=text("free_at IS NOT NULL"),
    ),
    Index("deliveries_status", "status", "id"),
    Index("deliveries_endpoint", "endpoint_id", "status", "id"),
    Index(
        "deliveries_leased",
        "id",
        sqlite_where=text("lease_until IS NOT NULL"),
        postgresql_where=text("lease_until IS NOT NULL"),
    ),
    sqlite_with_rowid=False,
)

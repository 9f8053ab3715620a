"""A typical receiver: FastAPI and SQLAlchemy's async sessions, one transaction for each request, full durability.

`python -m tests.bench.peers.typical FOLDER PORT`
"""

import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from sqlalchemy import JSON, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import ConnectionPoolEntry


class _Base(DeclarativeBase):
    pass


class _Callback(_Base):
    __tablename__ = "callbacks"
    id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[str] = mapped_column(index=True)
    body: Mapped[dict[str, Any]] = mapped_column(JSON)


def _durable(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def main() -> None:
    """Serve until SIGTERM."""
    folder, port = Path(sys.argv[-2]), int(sys.argv[-1])
    folder.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(f"sqlite+aiosqlite:///{folder / 'typical.db'}")
    event.listen(engine.sync_engine, "connect", _durable)
    sessions = async_sessionmaker(engine)

    @contextlib.asynccontextmanager
    async def living(_: FastAPI) -> AsyncIterator[None]:
        async with engine.begin() as connection:
            await connection.run_sync(_Base.metadata.create_all)
        yield

    app = FastAPI(lifespan=living)

    @app.post("/callbacks/{provider}/{token}")
    async def take(request: Request, provider: str, token: str) -> dict[str, str]:
        del provider
        session: AsyncSession
        async with sessions() as session, session.begin():
            session.add(_Callback(token=token, body=await request.json()))
        return {"status": "accepted"}

    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning", backlog=2048)


if __name__ == "__main__":
    main()

"""Alembic's entry: `service/database.py:migrate` calls it with the database's URL."""

from alembic import context
from sqlalchemy import create_engine, pool

from service.records import Record
from service.sqlite_driver import newest_sqlite

url: str = context.config.attributes["url"]
# The same library as everywhere: two copies of SQLite in one process undo each other's locks, and the one that
# closes last deletes a write-ahead log that the other still writes (sqlite.org/howtocorrupt.html, 2.2.1).
driver = {"module": newest_sqlite()} if url.startswith("sqlite") else {}
engine = create_engine(url, poolclass=pool.NullPool, **driver)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Record.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()

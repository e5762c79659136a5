"""Alembic's entry: `service/database.py:migrate` calls it with the database's URL."""

from alembic import context
from sqlalchemy import create_engine, pool

from service.records import Record
from service.sqlite_driver import driver_of

url: str = context.config.attributes["url"]
engine = create_engine(
    url, module=driver_of(url), poolclass=pool.NullPool
)  # the library that goes on using it
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Record.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()

"""Alembic's entry: `service/database.py:migrate` calls it with the database's URL."""

from alembic import context
from sqlalchemy import create_engine, pool

from service.records import Record

engine = create_engine(context.config.attributes["url"], poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Record.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()

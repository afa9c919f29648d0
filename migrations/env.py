"""Alembic runs on the connection that engines/migrations.py hands it; there is no alembic.ini and no offline mode."""

from alembic import context

from schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()

"""Alembic's environment: runs the migrations in the transaction that ``chandlery.database.migrate`` has begun."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"], version_table="schema_version", version_table_schema="ops"
)
context.run_migrations()

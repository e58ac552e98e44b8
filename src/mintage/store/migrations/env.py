"""Run by Alembic: uses the connection that the database hands over, and nothing else."""

from alembic import context

from mintage.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=False,
)
context.run_migrations()

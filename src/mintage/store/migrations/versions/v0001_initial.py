"""The first shape of the database; until the first release it is edited in place."""

from alembic import op

from mintage.store.postgres_schema import make_tables
from mintage.store.schema import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table. At the first release this becomes explicit and is never touched again."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        make_tables(connection)
    else:
        metadata.create_all(connection)

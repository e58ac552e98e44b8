"""The first shape of the database; until the first release it is edited in place."""

from alembic import op

from mintage.store.schema import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table. At the first release this becomes explicit and is never touched again."""
    metadata.create_all(op.get_bind())

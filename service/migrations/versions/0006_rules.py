"""The AE title that a sender called, the routing rule that a job follows, and where its result goes then.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring up to date."""
    op.add_column("series", sa.Column("called", sa.String(length=16), nullable=True))
    op.add_column("job", sa.Column("rule", sa.String(length=64), nullable=True))
    op.add_column("job", sa.Column("deliver_to", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    """Take back."""
    op.drop_column("job", "deliver_to")
    op.drop_column("job", "rule")
    op.drop_column("series", "called")

"""Deliveries: fallbacks, remarks of nodes, what a node has stored.

Revision 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Apply."""
    op.add_column("delivery", sa.Column("target", sa.String(length=16), nullable=True))
    op.add_column("delivery", sa.Column("remarks", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("delivery", sa.Column("objects", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    """Take back."""
    for column in ("objects", "remarks", "target"):
        op.drop_column("delivery", column)

"""When a job's attempt began, from which the time that it still needs is told.

Revision 0012, after 0011.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Apply."""
    op.add_column("job", sa.Column("started_at", sa.Float(), nullable=True))


def downgrade() -> None:
    """Take back."""
    op.drop_column("job", "started_at")

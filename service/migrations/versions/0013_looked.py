"""Which places of "look here" a reviewer has looked at.

Revision 0013, after 0012.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "looked",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("place", sa.String(length=96), nullable=False),
        sa.Column("reviewer", sa.String(length=160), nullable=False),
        sa.Column("reviewer_name", sa.String(length=128), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
        sa.PrimaryKeyConstraint("job_id", "place", "reviewer"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("looked")

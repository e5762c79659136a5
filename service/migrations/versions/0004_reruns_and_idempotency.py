"""Re-runs, undelivered jobs, idempotency keys.

Revision 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Apply."""
    op.add_column("job", sa.Column("rerun_of", sa.String(length=36), nullable=True))
    op.add_column("job", sa.Column("deliver", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.create_table(
        "idempotency",
        sa.Column("key_sha256", sa.String(length=64), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key_sha256"),
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"], unique=False)


def downgrade() -> None:
    """Take back."""
    op.drop_table("idempotency")
    for column in ("deliver", "rerun_of"):
        op.drop_column("job", column)

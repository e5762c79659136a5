"""Who has connected, or tried to.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring up to date."""
    op.create_table(
        "peer_contact",
        sa.Column("ae_title", sa.String(length=16), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("called", sa.String(length=16), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("refused", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("ae_title", "address"),
    )
    op.create_index("ix_peer_contact_at", "peer_contact", ["at"], unique=False)


def downgrade() -> None:
    """Take back."""
    op.drop_table("peer_contact")

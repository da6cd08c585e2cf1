"""Parcels and deliveries count the senders that they lost.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("parcel", "delivery"):
        op.add_column(table, sa.Column("losses", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    for table in ("parcel", "delivery"):
        op.drop_column(table, "losses")

"""Fewer indices: what nobody asks for is gone, and what is not known yet is in none.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_UNUSED = ("event", "association_id", "delivery_id")
_PARTIAL = (("instance", "study_uid"), ("instance", "series_uid"), ("audit", "work_item_id"))


def upgrade() -> None:
    for column in _UNUSED:
        op.drop_index(f"ix_audit_{column}", "audit")
    for table, column in _PARTIAL:
        known = sa.text(f"{column} IS NOT NULL")
        op.drop_index(f"ix_{table}_{column}", table)
        op.create_index(
            f"ix_{table}_{column}", table, [column], sqlite_where=known, postgresql_where=known
        )


def downgrade() -> None:
    for table, column in _PARTIAL:
        op.drop_index(f"ix_{table}_{column}", table)
        op.create_index(f"ix_{table}_{column}", table, [column])
    for column in _UNUSED:
        op.create_index(f"ix_audit_{column}", "audit", [column])

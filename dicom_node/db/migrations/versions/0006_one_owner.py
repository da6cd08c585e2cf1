"""One instance of a SOP Instance UID is taken, whoever receives it; tries are counted.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TAKEN = sa.text("state <> 'conflict'")


def upgrade() -> None:
    for table in ("instance", "work_item"):
        op.add_column(table, sa.Column("tries", sa.Integer(), server_default="0", nullable=False))
    op.add_column("instance", sa.Column("worker", sa.String(128)))
    op.add_column("instance", sa.Column("lease_until", sa.DateTime(timezone=True)))
    op.add_column("batch", sa.Column("plan_sha256", sa.String(64)))
    # Two intakes that received other bytes under one UID at the same moment left two rows.
    op.execute(
        "UPDATE instance SET state = 'conflict' WHERE state <> 'conflict' AND EXISTS ("
        "SELECT 1 FROM instance AS earlier WHERE earlier.state <> 'conflict' "
        "AND earlier.sop_instance_uid = instance.sop_instance_uid AND earlier.id < instance.id)"
    )
    op.create_index(
        "uq_instance_taken",
        "instance",
        ["sop_instance_uid"],
        unique=True,
        sqlite_where=_TAKEN,
        postgresql_where=_TAKEN,
    )
    op.create_table(
        "spool",
        sa.Column("marker", sa.String(32), primary_key=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("spool")
    op.drop_index("uq_instance_taken", "instance")
    op.drop_column("batch", "plan_sha256")
    op.drop_column("instance", "lease_until")
    op.drop_column("instance", "worker")
    for table in ("instance", "work_item"):
        op.drop_column(table, "tries")

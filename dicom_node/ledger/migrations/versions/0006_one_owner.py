"""One instance of a SOP Instance UID is taken, whoever receives it; tries are counted.

What is due is found by its turn, not by a ring: batches and parcels know when their series arrived,
and nothing is kept of rings.

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
_DUE = sa.text("state = 'due'")
_SENDING = sa.text("state = 'sending'")
_TURNS = {
    "ix_batch_due": ("batch", ["due_at", "id"]),
    "ix_batch_arrival": ("batch", ["arrival", "id"]),
    "ix_parcel_due": ("parcel", ["destination", "due_at", "id"]),
    "ix_parcel_arrival": ("parcel", ["destination", "arrival", "id"]),
}


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
    for table in ("batch", "parcel"):
        op.drop_column(table, "ring_at")
        op.drop_column(table, "rings")
        op.add_column(
            table, sa.Column("arrival", sa.BigInteger(), server_default="0", nullable=False)
        )
    op.execute(
        "UPDATE batch SET arrival = (SELECT min(other.id) FROM batch AS other "
        "WHERE other.series_uid = batch.series_uid)"
    )
    op.execute(
        "UPDATE parcel SET arrival = "
        "(SELECT batch.arrival FROM batch WHERE batch.id = parcel.batch_id)"
    )
    op.drop_index("ix_parcel_destination", "parcel")
    for name, (table, columns) in _TURNS.items():
        op.create_index(name, table, columns, sqlite_where=_DUE, postgresql_where=_DUE)
    op.create_index(
        "ix_parcel_sending",
        "parcel",
        ["destination"],
        sqlite_where=_SENDING,
        postgresql_where=_SENDING,
    )


def downgrade() -> None:
    for name, (table, _) in _TURNS.items():
        op.drop_index(name, table)
    op.drop_index("ix_parcel_sending", "parcel")
    op.create_index("ix_parcel_destination", "parcel", ["destination"])
    for table in ("batch", "parcel"):
        op.drop_column(table, "arrival")
        op.add_column(table, sa.Column("ring_at", sa.DateTime(timezone=True)))
        op.add_column(table, sa.Column("rings", sa.Integer(), server_default="0", nullable=False))
    op.drop_table("spool")
    op.drop_index("uq_instance_taken", "instance")
    op.drop_column("batch", "plan_sha256")
    op.drop_column("instance", "lease_until")
    op.drop_column("instance", "worker")
    for table in ("instance", "work_item"):
        op.drop_column(table, "tries")

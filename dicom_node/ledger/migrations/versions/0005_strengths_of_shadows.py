"""What a shadow measured says at which strengths it and production ran.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COLUMNS = ("strength_production", "strength_shadow")


def upgrade() -> None:
    for name in _COLUMNS:
        op.add_column("shadow_measure", sa.Column(name, sa.Float()))


def downgrade() -> None:
    for name in _COLUMNS:
        op.drop_column("shadow_measure", name)

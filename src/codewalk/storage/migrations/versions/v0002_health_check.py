"""Add the check settings of each server, and the count of its successful checks in a row."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("servers", sa.Column("check_interval", sa.Float(), nullable=True))
    op.add_column("servers", sa.Column("check_timeout", sa.Float(), nullable=True))
    op.add_column("servers", sa.Column("check_rise", sa.Integer(), nullable=True))
    op.add_column("servers", sa.Column("check_fall", sa.Integer(), nullable=True))
    op.add_column(
        "server_health",
        sa.Column("successes", sa.Integer(), nullable=False, server_default="0"),
    )

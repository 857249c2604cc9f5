"""Health by the minute for as long as by the hour, packed."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "health_minutes",
        sa.Column("server_id", sa.String(), nullable=False),
        sa.Column("begins_at", sa.BigInteger(), nullable=False),
        sa.Column("packed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"],
            ["servers.id"],
            name="fk_health_minutes_server_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("server_id", "begins_at", name="pk_health_minutes"),
        sqlite_with_rowid=False,
    )

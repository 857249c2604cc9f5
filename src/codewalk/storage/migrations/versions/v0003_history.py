"""Health over time: counts by the minute and hour, transitions, the last checks."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "health_periods",
        sa.Column("server_id", sa.String(), nullable=False),
        sa.Column("span_s", sa.Integer(), nullable=False),
        sa.Column("begins_at", sa.BigInteger(), nullable=False),
        sa.Column("checks", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("answers", sa.Integer(), nullable=False),
        sa.Column("up_ms", sa.BigInteger(), nullable=False),
        sa.Column("down_ms", sa.BigInteger(), nullable=False),
        sa.Column("latency_min_us", sa.BigInteger(), nullable=True),
        sa.Column("latency_sum_us", sa.BigInteger(), nullable=False),
        sa.Column("latency_p95_sum_us", sa.BigInteger(), nullable=False),
        _of_a_server("health_periods"),
        sa.PrimaryKeyConstraint("server_id", "span_s", "begins_at", name="pk_health_periods"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "health_transitions",
        sa.Column("server_id", sa.String(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("from_state", sa.String(), nullable=False),
        sa.Column("to_state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=True),
        sa.Column("version", sa.String(), nullable=True),
        _of_a_server("health_transitions"),
        sa.PrimaryKeyConstraint("server_id", "changed_at", name="pk_health_transitions"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "health_recent",
        sa.Column("server_id", sa.String(), nullable=False),
        sa.Column("checks", sa.String(), nullable=False),
        _of_a_server("health_recent"),
        sa.PrimaryKeyConstraint("server_id", name="pk_health_recent"),
    )


def _of_a_server(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["server_id"], ["servers.id"], name=f"fk_{table}_server_id", ondelete="CASCADE"
    )

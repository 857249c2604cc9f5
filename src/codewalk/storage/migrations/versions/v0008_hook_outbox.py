"""Notices wait for their hooks in the store; what was reported gets plain keys."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hook_outbox",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("delivered_to", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_hook_outbox"),
    )
    op.create_table(
        "hook_leases",
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", name="pk_hook_leases"),
    )
    rename = sa.text(
        "UPDATE server_state SET key = :new || server_id WHERE key = :old || server_id"
    )
    for old, new in (("told_down::", "reported_down::"), ("told_version::", "reported_version::")):
        op.execute(rename.bindparams(old=old, new=new))

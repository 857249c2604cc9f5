"""Create the first schema: servers, pointers, health, and the state stored for each server."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _servers()
    _pointers()
    _of_servers()


def _servers() -> None:
    op.create_table(
        "servers",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=True),
        sa.Column("label_key", sa.String(), nullable=True),
        sa.Column("basic_auth_enabled", sa.Boolean(), nullable=False),
        sa.Column("basic_auth_username", sa.String(), nullable=False),
        sa.Column("basic_auth_password", sa.String(), nullable=True),
        sa.Column("managed", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_servers"),
        sa.UniqueConstraint("url", name="uq_servers_url"),
        sa.UniqueConstraint("label_key", name="uq_servers_label_key"),
    )


def _pointers() -> None:
    pointers = op.create_table(
        "pointers",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("key", name="pk_pointers"),
    )
    # All rows are there from the start: a change locks the one of the revision, and only updates.
    op.bulk_insert(
        pointers,
        [
            {"key": "active_server_id", "value": None},
            {"key": "default_server_id", "value": None},
            {"key": "previous_server_id", "value": None},
            {"key": "generation", "value": "0"},
            {"key": "revision", "value": "0"},
            {"key": "legacy_imported", "value": None},
        ],
    )


def _of_servers() -> None:
    op.create_table(
        "server_health",
        sa.Column("server_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=True),
        sa.Column("version", sa.String(), nullable=True),
        sa.Column("latency_ms", sa.Float(), nullable=True),
        sa.Column("checked_at", sa.BigInteger(), nullable=True),
        sa.Column("since", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"], ["servers.id"], name="fk_server_health_server_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("server_id", name="pk_server_health"),
    )
    op.create_table(
        "server_state",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("server_id", sa.String(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"], ["servers.id"], name="fk_server_state_server_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key", name="pk_server_state"),
    )
    op.create_index("ix_server_state_server_id", "server_state", ["server_id"])

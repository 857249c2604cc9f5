"""Add the warning about a server that answers its checks and fails at requests."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("server_health", sa.Column("warning", sa.String(), nullable=True))

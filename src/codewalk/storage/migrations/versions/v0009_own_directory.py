"""Drops what was stored for a server's own directory under an empty name."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Which directory that was isn't known. The list is fetched again, and stored under its name.
    op.execute(
        "DELETE FROM server_state"
        " WHERE key LIKE 'cached_sessions::%::' OR key LIKE 'current_session_id::%::'"
    )

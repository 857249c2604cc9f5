"""The setting for notifications gets its outward name."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Not alter_column(): on SQLite that needs the whole table to be copied.
    op.execute("ALTER TABLE servers RENAME COLUMN tell_me TO notify")

"""The tables, as both databases have them.

Times are whole microseconds since 1970 in UTC: they compare, sort and come back exactly the same in
SQLite and PostgreSQL alike. Whoever changes a table adds a migration and raises `SCHEMA_VERSION`;
tests compare the tables with what the migrations make.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

SCHEMA_VERSION: Final = "0001"
"""The newest migration's name. A store that says so needs no migration, and no Alembic import."""

ACTIVE: Final = "active_server_id"
DEFAULT: Final = "default_server_id"
PREVIOUS: Final = "previous_server_id"
GENERATION: Final = "generation"
REVISION: Final = "revision"
LEGACY_IMPORTED: Final = "legacy_imported"

METADATA: Final = MetaData(
    # Named constraints: a later migration has to be able to say which one it changes.
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

servers: Final = Table(
    "servers",
    METADATA,
    Column("id", String, primary_key=True),
    # The list's order. Gaps are allowed: a removal moves nobody.
    Column("position", Integer, nullable=False),
    Column("url", String, nullable=False, unique=True),
    Column("label", String),
    # The label without case, so that the database itself holds the rule that labels are unique.
    Column("label_key", String, unique=True),
    Column("basic_auth_enabled", Boolean, nullable=False),
    Column("basic_auth_username", String, nullable=False),
    # Sealed by the vault; never plain text.
    Column("basic_auth_password", String),
    Column("managed", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

pointers: Final = Table(
    "pointers",
    METADATA,
    Column("key", String, primary_key=True),
    Column("value", String),
)

server_health: Final = Table(
    "server_health",
    METADATA,
    Column("server_id", ForeignKey("servers.id", ondelete="CASCADE"), primary_key=True),
    Column("state", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("detail", String),
    Column("version", String),
    Column("latency_ms", Float),
    Column("checked_at", BigInteger),
    Column("since", BigInteger),
    Column("failures", Integer, nullable=False),
)

server_state: Final = Table(
    "server_state",
    METADATA,
    Column("key", String, primary_key=True),
    Column("server_id", ForeignKey("servers.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("value", LargeBinary, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """An aware time as the store keeps it."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """A kept time, in UTC."""
    return _EPOCH + timedelta(microseconds=micros)

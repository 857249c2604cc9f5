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

SCHEMA_VERSION: Final = "0010"
"""The newest migration. A store at this version needs no migration, and no Alembic import."""

# Keys of the pointers table.
ACTIVE_SERVER_ID: Final = "active_server_id"
DEFAULT_SERVER_ID: Final = "default_server_id"
PREVIOUS_SERVER_ID: Final = "previous_server_id"
GENERATION: Final = "generation"
REVISION: Final = "revision"
LEGACY_IMPORTED: Final = "legacy_imported"
FILE_STAMP: Final = "file_stamp"

METADATA: Final = MetaData(
    # Named constraints: a later migration has to name the one that it changes.
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
    # The order of the list. Gaps are allowed: a removal changes no other row.
    Column("position", Integer, nullable=False),
    Column("url", String, nullable=False, unique=True),
    Column("label", String),
    # The label without case, so that the database itself keeps labels unique.
    Column("label_key", String, unique=True),
    Column("basic_auth_enabled", Boolean, nullable=False),
    Column("basic_auth_username", String, nullable=False),
    # Sealed by the vault; never plain text.
    Column("basic_auth_password", String),
    Column("managed", Boolean, nullable=False),
    # The settings of its check; NULL is the default, also where a later release changes that.
    Column("check_interval", Float),
    Column("check_timeout", Float),
    Column("check_rise", Integer),
    Column("check_fall", Integer),
    Column("snoozed_until", BigInteger),
    # `on` or `off`; NULL is the default.
    Column("notify", String),
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
    Column("successes", Integer, nullable=False, server_default="0"),
    Column("warning", String),
)

server_state: Final = Table(
    "server_state",
    METADATA,
    Column("key", String, primary_key=True),
    Column("server_id", ForeignKey("servers.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("value", LargeBinary, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

# Minutes of the last day, and hours. There are millions of rows: integers take a byte or two in
# SQLite, and without a rowid the rows are in the primary key's own tree.
health_periods: Final = Table(
    "health_periods",
    METADATA,
    Column("server_id", ForeignKey("servers.id", ondelete="CASCADE"), primary_key=True),
    Column("span_s", Integer, primary_key=True),
    Column("begins_at", BigInteger, primary_key=True),
    Column("checks", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("answers", Integer, nullable=False),
    Column("up_ms", BigInteger, nullable=False),
    Column("down_ms", BigInteger, nullable=False),
    Column("latency_min_us", BigInteger),
    Column("latency_sum_us", BigInteger, nullable=False),
    Column("latency_p95_sum_us", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

health_minutes: Final = Table(
    "health_minutes",
    METADATA,
    Column("server_id", ForeignKey("servers.id", ondelete="CASCADE"), primary_key=True),
    # The hour's beginning; its minutes as `history.packing` packs them.
    Column("begins_at", BigInteger, primary_key=True),
    Column("packed", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

health_transitions: Final = Table(
    "health_transitions",
    METADATA,
    Column("server_id", ForeignKey("servers.id", ondelete="CASCADE"), primary_key=True),
    Column("changed_at", BigInteger, primary_key=True),
    Column("from_state", String, nullable=False),
    Column("to_state", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("detail", String),
    Column("version", String),
    sqlite_with_rowid=False,
)

health_recent: Final = Table(
    "health_recent",
    METADATA,
    Column("server_id", ForeignKey("servers.id", ondelete="CASCADE"), primary_key=True),
    # The recent checks as `history.recent_checks` packs them, in base64: 12 bytes are 16
    # characters, so that the database itself can append some and drop the oldest.
    Column("checks", String, nullable=False),
)

hooks: Final = Table(
    "hooks",
    METADATA,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    # Sealed by the vault: the URL, or the program and its arguments.
    Column("target", String, nullable=False),
    # Kinds of notices, separated by blanks.
    Column("events", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

# Notices that hooks have still to receive; see `codewalk.storage.hook_outbox`.
hook_outbox: Final = Table(
    "hook_outbox",
    METADATA,
    Column("id", String, primary_key=True),
    # The process that delivers it.
    Column("owner", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    # Ids of the hooks that are done with it, with a blank between.
    Column("delivered_to", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

hook_leases: Final = Table(
    "hook_leases",
    METADATA,
    Column("owner", String, primary_key=True),
    Column("expires_at", BigInteger, nullable=False),
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Return an aware time in microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return a time in microseconds since 1970 as a `datetime` in UTC."""
    return _EPOCH + timedelta(microseconds=micros)

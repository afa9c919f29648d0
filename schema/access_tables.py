"""Users with their sessions and recovery codes, tokens of programs, failed logins, and idempotency keys.

Passwords, session ids, tokens and recovery codes are stored as hashes only.
"""

from sqlalchemy import REAL, TIMESTAMP, Boolean, Column, ForeignKey, Index, Integer, Table, Text, text

from people import Role
from schema.columns import metadata, one_of

users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),  #: in lower case
    Column("role", Text, nullable=False),
    Column("password_hash", Text, nullable=False),  #: argon2id, in its own encoded form
    Column("daily_limit", REAL),  #: US dollars that this user may order in one UTC day; NULL: no limit
    Column("totp_secret", Text),  #: NULL until the second factor is set up
    Column("totp_step", Integer),  #: the time step of the last accepted code: no code is accepted twice
    Column("created_at", TIMESTAMP, nullable=False),
    Column("password_at", TIMESTAMP, nullable=False),  #: when the password was set
    Column("disabled_at", TIMESTAMP),
    one_of("role", Role),
    sqlite_autoincrement=True,
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("user_id", Integer, ForeignKey("users.id"), nullable=False),
    Column("code_hash", Text, nullable=False),
    Column("used_at", TIMESTAMP),
)
Index("idx_recovery_codes_user", recovery_codes.c.user_id)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("id_hash", Text, nullable=False, unique=True),  #: SHA-256 of the random id in the cookie
    Column("user_id", Integer, ForeignKey("users.id"), nullable=False),
    Column("created_at", TIMESTAMP, nullable=False),
    Column("seen_at", TIMESTAMP, nullable=False),
    Column("proved_at", TIMESTAMP, nullable=False),  #: when password and second factor were last given
    Column("address", Text, nullable=False),
    Column("browser", Text, nullable=False, server_default=""),
    Column("ended_at", TIMESTAMP),
    Column("end_reason", Text, nullable=False, server_default=""),
    sqlite_autoincrement=True,
)
Index("idx_sessions_user", sessions.c.user_id)

#: Tokens of programs. The token itself is shown once and never stored.
api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("token_hash", Text, nullable=False, unique=True),  #: SHA-256
    Column("hint", Text, nullable=False),  #: the last characters, by which a person recognises it
    Column("role", Text, nullable=False),
    Column("scopes", Text, nullable=False),  #: words, separated by blanks
    Column("user_id", Integer, ForeignKey("users.id")),  #: who made it; NULL for the command line
    Column("daily_limit", REAL),  #: US dollars that it may order in one UTC day; NULL: no limit
    Column("created_at", TIMESTAMP, nullable=False),
    Column("expires_at", TIMESTAMP),
    Column("used_at", TIMESTAMP),
    Column("used_from", Text, nullable=False, server_default=""),
    Column("revoked_at", TIMESTAMP),
    one_of("role", Role),
    sqlite_autoincrement=True,
)

#: Failed logins by account and by network.
login_failures = Table(
    "login_failures",
    metadata,
    Column("subject", Text, primary_key=True),  #: such as "account anna" or "network 203.0.113.0/24"
    Column("failures", Integer, nullable=False),
    Column("last_at", REAL, nullable=False),  #: Unix time
    Column("until_at", REAL, nullable=False),  #: no attempt is checked before this Unix time
    Column("known", Boolean, nullable=False, server_default=text("0")),  #: a login from here has succeeded
)

#: Answers to requests with an Idempotency-Key: the same key and body again get the same answer.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("caller", Text, primary_key=True),  #: such as "token 3"
    Column("key", Text, primary_key=True),
    Column("body_hash", Text, nullable=False),
    Column("batch_id", Integer, ForeignKey("batches.id")),
    Column("answer", Text),  #: JSON; NULL while the first request is worked on
    Column("created_at", TIMESTAMP, nullable=False),
)
Index("idx_idempotency_keys_created", idempotency_keys.c.created_at)

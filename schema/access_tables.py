"""Users with their sessions and recovery codes, tokens of programs, failed logins, and idempotency keys.

Passwords, session ids, tokens and recovery codes are stored as hashes only.
"""

from sqlalchemy import TIMESTAMP, Boolean, Column, ForeignKey, Index, Table, false

from people import Role
from schema.columns import INTEGER, REAL, TEXT, metadata, one_of

users = Table(
    "users",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("name", TEXT, nullable=False, unique=True),  #: in lower case
    Column("role", TEXT, nullable=False),
    Column("password_hash", TEXT, nullable=False),  #: argon2id, in its own encoded form
    Column("daily_limit", REAL),  #: US dollars that this user may order in one UTC day; NULL: no limit
    Column("totp_secret", TEXT),  #: NULL until the second factor is set up
    Column("totp_step", INTEGER),  #: the time step of the last accepted code: no code is accepted twice
    Column("created_at", TIMESTAMP, nullable=False),
    Column("password_at", TIMESTAMP, nullable=False),  #: when the password was set
    Column("disabled_at", TIMESTAMP),
    one_of("role", Role),
    sqlite_autoincrement=True,
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("user_id", INTEGER, ForeignKey("users.id"), nullable=False),
    Column("code_hash", TEXT, nullable=False),
    Column("used_at", TIMESTAMP),
)
Index("idx_recovery_codes_user", recovery_codes.c.user_id)

sessions = Table(
    "sessions",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("id_hash", TEXT, nullable=False, unique=True),  #: SHA-256 of the random id in the cookie
    Column("user_id", INTEGER, ForeignKey("users.id"), nullable=False),
    Column("created_at", TIMESTAMP, nullable=False),
    Column("seen_at", TIMESTAMP, nullable=False),
    Column("proved_at", TIMESTAMP, nullable=False),  #: when password and second factor were last given
    Column("address", TEXT, nullable=False),
    Column("browser", TEXT, nullable=False, server_default=""),
    Column("ended_at", TIMESTAMP),
    Column("end_reason", TEXT, nullable=False, server_default=""),
    sqlite_autoincrement=True,
)
Index("idx_sessions_user", sessions.c.user_id)

#: Tokens of programs. The token itself is shown once and never stored.
api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("name", TEXT, nullable=False),
    Column("token_hash", TEXT, nullable=False, unique=True),  #: SHA-256
    Column("hint", TEXT, nullable=False),  #: the last characters, by which a person recognises it
    Column("role", TEXT, nullable=False),
    Column("scopes", TEXT, nullable=False),  #: words, separated by blanks
    Column("user_id", INTEGER, ForeignKey("users.id")),  #: who made it; NULL for the command line
    Column("daily_limit", REAL),  #: US dollars that it may order in one UTC day; NULL: no limit
    Column("created_at", TIMESTAMP, nullable=False),
    Column("expires_at", TIMESTAMP),
    Column("used_at", TIMESTAMP),
    Column("used_from", TEXT, nullable=False, server_default=""),
    Column("revoked_at", TIMESTAMP),
    one_of("role", Role),
    sqlite_autoincrement=True,
)

#: Failed logins by account and by network.
login_failures = Table(
    "login_failures",
    metadata,
    Column("subject", TEXT, primary_key=True),  #: such as "account anna" or "network 203.0.113.0/24"
    Column("failures", INTEGER, nullable=False),
    Column("last_at", REAL, nullable=False),  #: Unix time
    Column("until_at", REAL, nullable=False),  #: no attempt is checked before this Unix time
    Column("known", Boolean, nullable=False, server_default=false()),  #: a login from here has succeeded
)

#: Answers to requests with an Idempotency-Key: the same key and body again get the same answer.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("caller", TEXT, primary_key=True),  #: such as "token 3"
    Column("key", TEXT, primary_key=True),
    Column("body_hash", TEXT, nullable=False),
    Column("batch_id", INTEGER, ForeignKey("batches.id")),
    Column("answer", TEXT),  #: JSON; NULL while the first request is worked on
    Column("created_at", TIMESTAMP, nullable=False),
)
Index("idx_idempotency_keys_created", idempotency_keys.c.created_at)

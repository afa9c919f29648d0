"""What several machines share while they call the provider. Times are Unix seconds by the clock of the database."""

from sqlalchemy import Boolean, Column, Index, LargeBinary, Table, false, text

from schema.columns import INTEGER, REAL, TEXT, metadata

#: How fast each account may be called: the loop writes the pace, whoever makes a call reserves its start.
pace = Table(
    "pace",
    metadata,
    Column("account", TEXT, primary_key=True),
    Column("newest_start", REAL, nullable=False, server_default=text("0")),
    Column("hold_until", REAL, nullable=False, server_default=text("0")),  #: no call starts before
    Column("spacing", REAL, nullable=False, server_default=text("0")),  #: seconds between two starts
    Column("allowance", INTEGER),  #: calls in any window; NULL: there is no limit
    Column("seconds", REAL, nullable=False, server_default=text("0")),  #: of the window
    Column("orders_wait", Boolean, nullable=False, server_default=false()),
    Column("orders", TEXT, nullable=False, server_default="[]"),  #: starts within the window, as JSON
    Column("reads", TEXT, nullable=False, server_default="[]"),
    Column("seen_at", REAL, nullable=False, server_default=text("0")),  #: the clock when the loop looked last
)

#: Who leads, until when: the place of the lock file where there are several machines.
elections = Table(
    "elections",
    metadata,
    Column("name", TEXT, primary_key=True),  #: of the account
    Column("holder", TEXT, nullable=False),
    Column("expires_at", REAL, nullable=False),
)

#: Answers that the loop has not recorded, each written in a transaction of its own before it is judged.
raw_answers = Table(
    "raw_answers",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("account", TEXT, nullable=False),
    Column("token", TEXT, nullable=False, unique=True),  #: of the process that made the call, for this call only
    Column("call", TEXT, nullable=False),  #: the chunk with its IMEIs, as JSON
    Column("content", LargeBinary),  #: the whole body of the answer; NULL: none came
    Column("failure", TEXT, nullable=False, server_default=""),  #: how the call failed, as JSON
    Column("began_at", REAL, nullable=False),
    Column("arrived_at", REAL, nullable=False),
    sqlite_autoincrement=True,
)
Index("idx_raw_answers_account", raw_answers.c.account)

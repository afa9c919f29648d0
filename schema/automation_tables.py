"""Automations, the log of their runs, the phones that each has ordered, and what re-checks found changed."""

from sqlalchemy import TIMESTAMP, Boolean, Column, ForeignKey, Index, Table, false, text

from orders import AutomationKind, RunKind
from schema.columns import INTEGER, REAL, TEXT, metadata, one_of, only

automations = Table(
    "automations",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("kind", TEXT, nullable=False),
    Column("name", TEXT, nullable=False, unique=True),
    Column("filter", TEXT, nullable=False),  #: the filter of the history, as a URL holds it
    Column("service_id", TEXT, nullable=False),
    Column("max_price", REAL, nullable=False),  #: US dollars an IMEI; a higher price turns it off
    Column("daily_limit", REAL, nullable=False),  #: US dollars that it may order in one UTC day
    Column("every_days", INTEGER, nullable=False, server_default=text("7")),  #: of a re-check, as the next three
    Column("hour", INTEGER, nullable=False, server_default=text("8")),
    Column("time_zone", TEXT, nullable=False, server_default="UTC"),
    Column("first_day", TEXT, nullable=False, server_default=""),  #: in that zone, such as 2026-12-06
    Column("is_on", Boolean, nullable=False, server_default=false()),  #: it runs by itself
    Column("notice", TEXT, nullable=False, server_default=""),  #: why it is off, or what it waits for
    Column("user_id", INTEGER, ForeignKey("users.id")),  #: who turned it on last: it orders within this user's limit
    Column("ordered_by", TEXT, nullable=False),  #: the name of this user
    Column("created_at", TIMESTAMP, nullable=False),
    Column("changed_at", TIMESTAMP, nullable=False),
    Column("revision", INTEGER, nullable=False, server_default=text("0")),  #: grows with each change and each run
    Column("after_change", INTEGER, nullable=False, server_default=text("0")),  #: results up to this change are done
    Column("due_at", TIMESTAMP),  #: when a re-check runs next
    one_of("kind", AutomationKind),
    sqlite_autoincrement=True,
)

automation_runs = Table(
    "automation_runs",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("automation_id", INTEGER, ForeignKey("automations.id"), nullable=False),
    Column("at", TIMESTAMP, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("actor", TEXT, nullable=False),
    Column("found", INTEGER, nullable=False),  #: phones
    Column("sent", INTEGER, nullable=False),  #: IMEIs that were put in the batch, or would be
    Column("price", REAL, nullable=False),  #: US dollars an IMEI
    Column("left_out", TEXT, nullable=False, server_default="{}"),  #: JSON: why → phones
    Column("samples", TEXT, nullable=False, server_default="[]"),  #: JSON: the first of these IMEIs
    Column("words", TEXT, nullable=False, server_default=""),
    Column("batch_id", INTEGER, ForeignKey("batches.id"), unique=True),
    Column("is_compared", Boolean, nullable=False, server_default=false()),  #: nothing is left to compare
    Column("compared", INTEGER, nullable=False, server_default=text("0")),  #: phones with a result before and after
    Column("compared_revision", INTEGER),  #: of the batch, when it was compared last
    Column("changed", INTEGER, nullable=False, server_default=text("0")),  #: phones
    Column("changes", TEXT, nullable=False, server_default="{}"),  #: JSON: what changed → phones
    one_of("kind", RunKind),
    sqlite_autoincrement=True,
)
Index("idx_automation_runs_automation", automation_runs.c.automation_id, automation_runs.c.id)
#: The condition of the index of runs whose results are still to be compared.
UNCOMPARED = ~automation_runs.c.is_compared
Index("idx_automation_runs_uncompared", automation_runs.c.id, **only(UNCOMPARED))

#: Every IMEI that an automation has ordered by itself or by hand, second IMEIs included: a follow-up orders none twice.
automation_phones = Table(
    "automation_phones",
    metadata,
    Column("automation_id", INTEGER, ForeignKey("automations.id"), primary_key=True),
    Column("imei", TEXT, primary_key=True),
    Column("run_id", INTEGER, ForeignKey("automation_runs.id"), nullable=False),
    sqlite_with_rowid=False,
)

automation_changes = Table(
    "automation_changes",
    metadata,
    Column("run_id", INTEGER, ForeignKey("automation_runs.id"), primary_key=True),
    Column("order_row", INTEGER, primary_key=True),  #: the row of the newer result in orders
    Column("imei", TEXT, nullable=False),
    Column("changes", TEXT, nullable=False),  #: JSON: a list of [finding, old, new]
    sqlite_with_rowid=False,
)

"""Tables of disputes, links to reports, figures of services and counts of results. Both databases. It only adds."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0018"
down_revision = "0017"

REAL: TypeEngine[float] = sa.REAL().with_variant(sa.Double(), "postgresql")
WHOLE = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

#: What results are counted by, and the characters that are kept of it: all together fit into a key of PostgreSQL.
FIELDS = {
    "service_name": 80, "model": 80, "carrier": 80, "simlock": 40, "fmi": 40, "blacklist": 40, "verdict": 10,
}  # fmt: skip
CHANGE = f"batch_id, day, {', '.join(FIELDS)}, orders"
IS_RESULT = "{0}status = 'Completed' AND {0}verdict IS NOT NULL"
WATCHED = ("status", "order_date", "batch_id", *FIELDS)
DAYS = {"sqlite": "date({0}order_date)", "postgresql": "to_char({0}order_date, 'YYYY-MM-DD')"}


def upgrade() -> None:
    """Add the tables of reports."""
    _disputes()
    _report_links()
    _services()
    _result_counts()


def _disputes() -> None:
    """Disputes with the provider, and their history."""
    op.create_table(
        "disputes",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("state", WORDS, nullable=False),
        sa.Column("order_row", WHOLE, unique=True),
        sa.Column("item_id", WHOLE, unique=True),
        sa.Column("order_id", WORDS),
        sa.Column("imei", WORDS, nullable=False),
        sa.Column("service_name", WORDS, nullable=False, server_default=""),
        sa.Column("price", REAL, nullable=False, server_default=sa.text("0")),
        sa.Column("ordered_at", sa.TIMESTAMP()),
        sa.Column("batch_id", WHOLE),
        sa.Column("reason", WORDS, nullable=False, server_default=""),
        sa.Column("said", WORDS, nullable=False, server_default=""),
        sa.Column("note", WORDS, nullable=False, server_default=""),
        sa.Column("refund", REAL, nullable=False, server_default=sa.text("0")),
        sa.Column("refunded_on", WORDS),
        sa.Column("opened_at", sa.TIMESTAMP(), nullable=False),
        sa.Column("changed_at", sa.TIMESTAMP(), nullable=False),
        _one_of("kind", "in_doubt", "mismatched", "rejected", "other"),
        _one_of("state", "open", "sent", "refunded", "refused", "closed"),
        sqlite_autoincrement=True,
    )
    op.create_index("idx_disputes_state", "disputes", ["state", "id"])
    op.create_index("idx_disputes_order_id", "disputes", ["order_id"])
    op.create_table(
        "dispute_events",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("dispute_id", WHOLE, sa.ForeignKey("disputes.id"), nullable=False),
        sa.Column("at", sa.TIMESTAMP(), nullable=False),
        sa.Column("person", WORDS, nullable=False),
        sa.Column("state", WORDS, nullable=False),
        sa.Column("refund", REAL, nullable=False, server_default=sa.text("0")),
        sa.Column("note", WORDS, nullable=False, server_default=""),
    )
    op.create_index("idx_dispute_events_dispute", "dispute_events", ["dispute_id"])


def _report_links() -> None:
    """Links that show the report of a batch without a login."""
    op.create_table(
        "report_links",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("batch_id", WHOLE, sa.ForeignKey("batches.id"), nullable=False),
        sa.Column("token_hash", WORDS, nullable=False, unique=True),
        sa.Column("has_prices", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("has_imeis", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("has_csv", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("created_at", sa.TIMESTAMP(), nullable=False),
        sa.Column("created_by", WORDS, nullable=False),
        sa.Column("expires_at", sa.TIMESTAMP(), nullable=False),
        sa.Column("revoked_at", sa.TIMESTAMP()),
        sa.Column("opened_at", sa.TIMESTAMP()),
        sa.Column("opens", WHOLE, nullable=False, server_default=sa.text("0")),
        sqlite_autoincrement=True,
    )
    op.create_index("idx_report_links_batch", "report_links", ["batch_id"])


def _services() -> None:
    """Prices, turnarounds and figures of services. The prices of now are the first that are known."""
    op.create_table(
        "service_prices",
        sa.Column("service_id", WORDS, primary_key=True),
        sa.Column("since", REAL, primary_key=True),
        sa.Column("price", REAL, nullable=False),
    )
    op.execute(
        "INSERT INTO service_prices (service_id, since, price) SELECT service_id, refreshed_at, price FROM services"
    )
    op.create_table(
        "turnarounds",
        sa.Column("service_id", WORDS, primary_key=True),
        sa.Column("day", WORDS, primary_key=True),
        sa.Column("step", WHOLE, primary_key=True),
        sa.Column("orders", WHOLE, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "service_figures",
        sa.Column("service_id", WORDS, primary_key=True),
        sa.Column("days", WHOLE, primary_key=True),
        sa.Column("completed", WHOLE, nullable=False),
        sa.Column("rejected", WHOLE, nullable=False),
        sa.Column("spent", REAL, nullable=False),
        sa.Column("refunded", REAL, nullable=False),
        sa.Column("timed", WHOLE, nullable=False),
        sa.Column("median", REAL),
        sa.Column("slow", REAL),
        sa.Column("computed_at", REAL, nullable=False),
    )


def _one_of(column: str, *words: str) -> sa.CheckConstraint:
    """Return the constraint that a column holds one of these words."""
    return sa.CheckConstraint(" OR ".join(f"{column} = '{word}'" for word in words), name=f"{column}_is_known")


def _result_counts() -> None:
    """Counts of results, the triggers that note each change of a result, and one note of the results that are there.

    The program adds the notes up after its start: pages are right before that, only slower.
    """
    op.create_table(
        "result_changes",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("batch_id", WHOLE, nullable=False),
        sa.Column("day", WORDS, nullable=False),
        *(sa.Column(name, WORDS, nullable=False) for name in FIELDS),
        sa.Column("orders", WHOLE, nullable=False),
    )
    op.create_table(
        "result_counts",
        sa.Column("grain", WORDS, primary_key=True),
        sa.Column("batch_id", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("period", WORDS, primary_key=True),
        *(sa.Column(name, WORDS, primary_key=True) for name in FIELDS),
        sa.Column("orders", WHOLE, nullable=False),
        sqlite_with_rowid=False,
    )
    dialect = op.get_bind().dialect.name
    columns = ", ".join(str(number) for number in range(1, len(FIELDS) + 3))
    parts, is_result = _parts(dialect, ""), IS_RESULT.format("")
    op.execute(
        f"INSERT INTO result_changes ({CHANGE})"
        f" SELECT {parts}, count(*) FROM orders WHERE {is_result} GROUP BY {columns}"
    )
    for statement in _sqlite_triggers() if dialect == "sqlite" else _postgresql_triggers():
        op.execute(statement)


def _parts(dialect: str, row: str) -> str:
    """Return the columns of a change except the number of orders, of a row: "", "old." or "new."."""
    fields = (f"substr(coalesce({row}{name}, ''), 1, {most})" for name, most in FIELDS.items())
    return f"coalesce({row}batch_id, 0), coalesce({DAYS[dialect].format(row)}, ''), {', '.join(fields)}"


def _note(dialect: str, row: str, orders: int) -> str:
    return f"INSERT INTO result_changes ({CHANGE}) SELECT {_parts(dialect, row)}, {orders}"


def _sqlite_triggers() -> list[str]:
    was, comes = (_note("sqlite", row, orders) for row, orders in (("old.", -1), ("new.", 1)))
    was_result, is_result = IS_RESULT.format("old."), IS_RESULT.format("new.")
    changed = " OR ".join(f"old.{name} IS NOT new.{name}" for name in WATCHED)
    return [
        f"CREATE TRIGGER orders_result_came AFTER INSERT ON orders WHEN {is_result} BEGIN {comes}; END",
        f"CREATE TRIGGER orders_result_went AFTER DELETE ON orders WHEN {was_result} BEGIN {was}; END",
        f"CREATE TRIGGER orders_result_changed AFTER UPDATE OF {', '.join(WATCHED)} ON orders"
        f" WHEN (({was_result}) OR ({is_result})) AND ({changed})"
        f" BEGIN {was} WHERE {was_result}; {comes} WHERE {is_result}; END",
    ]


def _postgresql_triggers() -> list[str]:
    was, comes = (_note("postgresql", row, orders) for row, orders in (("old.", -1), ("new.", 1)))
    was_result, is_result = IS_RESULT.format("old."), IS_RESULT.format("new.")
    before, after = (f"({', '.join(f'{row}.{name}' for name in WATCHED)})" for row in ("old", "new"))
    run = "FOR EACH ROW WHEN ({}) EXECUTE FUNCTION note_result()"
    return [
        "CREATE FUNCTION note_result() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF TG_OP <> 'INSERT' THEN {was} WHERE {was_result}; END IF;"
        f" IF TG_OP <> 'DELETE' THEN {comes} WHERE {is_result}; END IF;"
        " RETURN NULL; END $$",
        f"CREATE TRIGGER orders_result_came AFTER INSERT ON orders {run.format(is_result)}",
        f"CREATE TRIGGER orders_result_went AFTER DELETE ON orders {run.format(was_result)}",
        f"CREATE TRIGGER orders_result_changed AFTER UPDATE OF {', '.join(WATCHED)} ON orders"
        f" {run.format(f'(({was_result}) OR ({is_result})) AND {before} IS DISTINCT FROM {after}')}",
    ]

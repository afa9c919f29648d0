"""Tables of phone models by TAC, and the triggers that count results. Both databases. It only adds."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

#: A result that names a model of the ordered phone.
NAMES_MODEL = "({0}.status = 'Completed' AND {0}.model <> '' AND {0}.other_imei IS NULL)"
#: Its key. The index of a key holds no long texts.
KEY = "substr({0}.imei, 1, 8), substr({0}.model, 1, 100)"
WATCHED = ("imei", "status", "model", "other_imei")
ADD = (
    f"INSERT INTO tac_models (tac, model, orders) VALUES ({KEY.format('new')}, 1)"
    " ON CONFLICT (tac, model) DO UPDATE SET orders = tac_models.orders + 1;"
)
TAKE = (
    f"UPDATE tac_models SET orders = orders - 1 WHERE (tac, model) = ({KEY.format('old')});"
    f" DELETE FROM tac_models WHERE (tac, model) = ({KEY.format('old')}) AND orders <= 0;"
)
#: Trigger → when it fires, on which row of an order, and what it does. Each has its condition outside of its body, so
#: that an order that is placed, which has no result, runs none.
TRIGGERS = (
    ("orders_model_added", "INSERT", "new", ADD),
    ("orders_model_gained", f"UPDATE OF {', '.join(WATCHED)}", "new", ADD),
    ("orders_model_lost", f"UPDATE OF {', '.join(WATCHED)}", "old", TAKE),
    ("orders_model_removed", "DELETE", "old", TAKE),
)
#: other_imei comes behind the long texts of a row: its own index tells the few orders that have one.
COUNT_ALL = (
    f"INSERT INTO tac_models (tac, model, orders) SELECT {KEY.format('orders')}, count(*) FROM orders"
    " WHERE status = 'Completed' AND model <> '' AND id NOT IN (SELECT id FROM orders WHERE other_imei IS NOT NULL)"
    " GROUP BY 1, 2"
)


def upgrade() -> None:
    """Add the tables, count the results that are there, and count each later one."""
    whole = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
    words = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "tac_models",
        sa.Column("tac", words, primary_key=True),
        sa.Column("model", words, primary_key=True),
        sa.Column("orders", whole, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "imported_models",
        sa.Column("tac", words, primary_key=True),
        sa.Column("brand", words, nullable=False),
        sa.Column("model", words, nullable=False),
        sa.Column("imported_at", sa.TIMESTAMP(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute(COUNT_ALL)
    is_server = op.get_bind().dialect.name == "postgresql"
    for name, event, row, body in TRIGGERS:
        when = f"{NAMES_MODEL.format(row)}{_is_changed(is_server) if event.startswith('UPDATE') else ''}"
        for statement in _on_server(name, event, when, body) if is_server else _in_file(name, event, when, body):
            op.execute(statement)


def _is_changed(is_server: bool) -> str:
    differs = "IS DISTINCT FROM" if is_server else "IS NOT"
    return f" AND ({' OR '.join(f'old.{column} {differs} new.{column}' for column in WATCHED)})"


def _in_file(name: str, event: str, when: str, body: str) -> tuple[str, ...]:
    return (f"CREATE TRIGGER {name} AFTER {event} ON orders WHEN {when} BEGIN {body} END",)


def _on_server(name: str, event: str, when: str, body: str) -> tuple[str, ...]:
    return (
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$",
        f"CREATE TRIGGER {name} AFTER {event} ON orders FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION {name}()",
    )

"""A log of rejections in the order in which they were recorded, and of each balance, which of them came before it.

What may have been paid back since a balance was found by time before: a clock that was set back could hide a refund.
Triggers write the log, so that it is whole while an older version works on the same database. It only adds.
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

WHOLE = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
NOTE = "INSERT INTO rejections (order_row) VALUES (new.id);"
#: A rejected order that changes once more counts again: the money may have come back only then.
AGAIN = "new.status = 'Rejected' AND (old.status {0} new.status OR old.updated_at {0} new.updated_at)"


def upgrade() -> None:
    """Add the table, what writes it, and the column of the balances."""
    op.create_table(
        "rejections",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("order_row", WHOLE, nullable=False),
        sqlite_autoincrement=True,
    )
    if op.get_bind().dialect.name == "postgresql":
        body = f"BEGIN {NOTE} RETURN NULL; END"
        op.execute(f"CREATE FUNCTION note_rejection() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
        run, differs = "FOR EACH ROW WHEN ({}) EXECUTE FUNCTION note_rejection()", "IS DISTINCT FROM"
    else:
        run, differs = f"WHEN {{}} BEGIN {NOTE} END", "IS NOT"
    # The conditions stand outside of the bodies, so that an order that is placed runs none.
    came, again = run.format("new.status = 'Rejected'"), run.format(AGAIN.format(differs))
    op.execute(f"CREATE TRIGGER orders_rejection_came AFTER INSERT ON orders {came}")
    op.execute(f"CREATE TRIGGER orders_rejection_changed AFTER UPDATE OF status, updated_at ON orders {again}")
    # Last: who writes both tables takes that of the orders first.
    op.add_column("balance_readings", sa.Column("rejections", WHOLE))

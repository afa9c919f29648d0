"""Functions of PostgreSQL that keep the sums of orders, in the language whose statements are planned once a connection.

In plain SQL they were planned for each order that changes: that took more than half of the time of storing results.
"""

from alembic import op

revision = "0019"
down_revision = "0018"

UNCOUNT = """
CREATE OR REPLACE FUNCTION uncount_order(old orders) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE order_totals SET orders = orders - 1,
        millionths = millionths - CAST(round(coalesce(old.credits, 0) * 1000000) AS BIGINT)
    WHERE (batch_id, day, service_name, status, verdict) = (
        coalesce(old.batch_id, 0), coalesce(to_char(old.order_date, 'YYYY-MM-DD'), ''),
        coalesce(old.service_name, ''), coalesce(old.status, ''), coalesce(old.verdict, ''));
END $$
"""
COUNT = """
CREATE OR REPLACE FUNCTION count_order(new orders) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO order_totals AS kept (batch_id, day, service_name, status, verdict, orders, millionths)
    VALUES (coalesce(new.batch_id, 0), coalesce(to_char(new.order_date, 'YYYY-MM-DD'), ''),
        coalesce(new.service_name, ''), coalesce(new.status, ''), coalesce(new.verdict, ''), 1,
        CAST(round(coalesce(new.credits, 0) * 1000000) AS BIGINT))
    ON CONFLICT (batch_id, day, service_name, status, verdict)
    DO UPDATE SET orders = kept.orders + 1, millionths = kept.millionths + excluded.millionths;
END $$
"""


def upgrade() -> None:
    """Replace the two functions; they do the same."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(UNCOUNT)
        op.execute(COUNT)

"""Checks that the batch of an order is there, for all rows of a statement at once. PostgreSQL; SQLite has its own key.

The foreign key of PostgreSQL looks for each row and locks the batch again: that took a quarter of the time in which
orders are inserted, and 100 orders of a call have one batch. The triggers refuse the same, with the same error. A
version before this one names no key, so both run side by side.
"""

from alembic import op

revision = "0022"
down_revision = "0021"

#: The batches are locked, as a foreign key does it: whoever deletes one waits, and then finds its orders.
ADDED = """
CREATE FUNCTION hammer_orders_added() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    missing bigint;
BEGIN
    PERFORM 1 FROM batches WHERE id IN (SELECT batch_id FROM added) FOR KEY SHARE;
    SELECT batch_id INTO missing FROM (SELECT DISTINCT batch_id FROM added WHERE batch_id IS NOT NULL) named
    WHERE NOT EXISTS (SELECT 1 FROM batches WHERE id = named.batch_id) LIMIT 1;
    IF FOUND THEN
        RAISE foreign_key_violation USING MESSAGE = 'orders name a batch that is not there',
            DETAIL = format('Key (batch_id)=(%s) is not present in table "batches".', missing);
    END IF;
    RETURN NULL;
END $$
"""
MOVED = """
CREATE FUNCTION hammer_order_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM batches WHERE id = new.batch_id FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE foreign_key_violation USING MESSAGE = 'orders name a batch that is not there',
            DETAIL = format('Key (batch_id)=(%s) is not present in table "batches".', new.batch_id);
    END IF;
    RETURN NULL;
END $$
"""
DELETED = """
CREATE FUNCTION hammer_batch_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM orders WHERE batch_id = old.id) THEN
        RAISE foreign_key_violation USING MESSAGE = 'a batch has orders',
            DETAIL = format('Key (id)=(%s) is still referenced from table "orders".', old.id);
    END IF;
    RETURN NULL;
END $$
"""
#: After the row is gone, or has another id: orders that were committed meanwhile are seen.
TRIGGERS = (
    "CREATE TRIGGER orders_added AFTER INSERT ON orders REFERENCING NEW TABLE AS added"
    " FOR EACH STATEMENT EXECUTE FUNCTION hammer_orders_added()",
    "CREATE TRIGGER orders_moved AFTER UPDATE OF batch_id ON orders FOR EACH ROW"
    " WHEN (new.batch_id IS DISTINCT FROM old.batch_id AND new.batch_id IS NOT NULL)"
    " EXECUTE FUNCTION hammer_order_moved()",
    "CREATE TRIGGER batches_deleted AFTER DELETE ON batches FOR EACH ROW EXECUTE FUNCTION hammer_batch_deleted()",
    "CREATE TRIGGER batches_renumbered AFTER UPDATE OF id ON batches FOR EACH ROW WHEN (new.id <> old.id)"
    " EXECUTE FUNCTION hammer_batch_deleted()",
)


def upgrade() -> None:
    """Put triggers in the place of the key."""
    if op.get_bind().dialect.name == "postgresql":
        for statement in (ADDED, MOVED, DELETED, *TRIGGERS, "ALTER TABLE orders DROP CONSTRAINT orders_batch_id_fkey"):
            op.execute(statement)

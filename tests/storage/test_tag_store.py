"""Tags on batches and orders: shown as first written, the same in any capitals, forgotten when nothing has them."""

from order_tables import NUMBER
from sqlalchemy import delete
from web_client import order_batch

from database import IMEIDatabase
from schema import orders
from storage import tag_store
from storage.tag_store import Tag


def known(database: IMEIDatabase) -> list[Tag]:
    with database.read() as connection:
        return tag_store.known_tags(connection, 9)


def test_a_tag_is_put_on_batches_and_orders_once_and_taken_again(database: IMEIDatabase) -> None:
    batch_id = order_batch(database, [NUMBER])
    with database.write() as connection:
        row = connection.execute(orders.insert().returning(orders.c.id), {"imei": NUMBER}).scalar_one()
    assert tag_store.tag_batches(database, [batch_id, 999], "For ACME") == 1
    assert tag_store.tag_orders(database, [row, 999], "for acme") == 1
    assert tag_store.tag_orders(database, [row], "Sold") == 1
    assert tag_store.tag_orders(database, [row], "SOLD") == 0
    assert tag_store.tags_of_batches(database, [batch_id, 999]) == {batch_id: ["For ACME"]}
    assert tag_store.tags_of_orders(database, [row]) == {row: ["For ACME", "Sold"]}
    assert known(database) == [Tag("For ACME", 1, 1), Tag("Sold", 0, 1)]
    assert tag_store.tag_words(database, 9, "ACM") == ["For ACME"]
    assert tag_store.untag_order(database, row, "sold")
    assert not tag_store.untag_order(database, row, "sold")
    assert tag_store.untag_batch(database, batch_id, "for acme")
    assert (tag_store.is_tag(database, "Sold"), tag_store.is_tag(database, "FOR acme")) == (False, True)
    assert tag_store.tag_orders(database, [999], "Nothing has it") == 0
    assert known(database) == [Tag("For ACME", 0, 1)]
    with database.write() as connection:
        connection.execute(delete(orders).where(orders.c.id == row))  # as the undo of an import does
    assert known(database) == [Tag("For ACME", 0, 0)]


def test_a_tag_is_renamed_merged_and_deleted_everywhere(database: IMEIDatabase) -> None:
    batch_id = order_batch(database, [NUMBER])
    for word in ("Old", "Other"):
        tag_store.tag_batches(database, [batch_id], word)
        tag_store.tag_orders(database, [1], word)
    tag_store.rename_tag(database, "old", "OLD")
    assert tag_store.tags_of_batches(database, [batch_id]) == {batch_id: ["OLD", "Other"]}
    tag_store.rename_tag(database, "old", "other")
    assert known(database) == [Tag("Other", 1, 1)]
    tag_store.rename_tag(database, "Other", "New")
    tag_store.rename_tag(database, "Unknown", "Nothing has it")
    assert known(database) == [Tag("New", 1, 1)]
    tag_store.delete_tag(database, "new")
    assert (known(database), tag_store.tags_of_orders(database, [1])) == ([], {})

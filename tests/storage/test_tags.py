"""Tags on batches and orders: shown as first written, the same in any capitals, forgotten when nothing has them."""

from order_tables import NUMBER
from sqlalchemy import delete
from web_client import order_batch

from database import IMEIDatabase
from schema import orders
from storage import tags
from storage.tags import Tag


def known(database: IMEIDatabase) -> list[Tag]:
    with database.read() as connection:
        return tags.known_tags(connection, 9)


def test_a_tag_is_put_on_batches_and_orders_once_and_taken_again(database: IMEIDatabase) -> None:
    batch_id = order_batch(database, [NUMBER])
    with database.write() as connection:
        row = connection.execute(orders.insert().returning(orders.c.id), {"imei": NUMBER}).scalar_one()
    assert tags.tag_batches(database, [batch_id, 999], "For ACME") == 1
    assert tags.tag_orders(database, [row, 999], "for acme") == 1
    assert tags.tag_orders(database, [row], "Sold") == 1
    assert tags.tag_orders(database, [row], "SOLD") == 0
    assert tags.tags_of_batches(database, [batch_id, 999]) == {batch_id: ["For ACME"]}
    assert tags.tags_of_orders(database, [row]) == {row: ["For ACME", "Sold"]}
    assert known(database) == [Tag("For ACME", 1, 1), Tag("Sold", 0, 1)]
    assert tags.tag_words(database, 9, "ACM") == ["For ACME"]
    assert tags.untag_order(database, row, "sold")
    assert not tags.untag_order(database, row, "sold")
    assert tags.untag_batch(database, batch_id, "for acme")
    assert (tags.is_tag(database, "Sold"), tags.is_tag(database, "FOR acme")) == (False, True)
    assert tags.tag_orders(database, [999], "Nothing has it") == 0
    assert known(database) == [Tag("For ACME", 0, 1)]
    with database.write() as connection:
        connection.execute(delete(orders).where(orders.c.id == row))  # as the undo of an import does
    assert known(database) == [Tag("For ACME", 0, 0)]


def test_a_tag_is_renamed_merged_and_deleted_everywhere(database: IMEIDatabase) -> None:
    batch_id = order_batch(database, [NUMBER])
    for word in ("Old", "Other"):
        tags.tag_batches(database, [batch_id], word)
        tags.tag_orders(database, [1], word)
    tags.rename_tag(database, "old", "OLD")
    assert tags.tags_of_batches(database, [batch_id]) == {batch_id: ["OLD", "Other"]}
    tags.rename_tag(database, "old", "other")
    assert known(database) == [Tag("Other", 1, 1)]
    tags.rename_tag(database, "Other", "New")
    tags.rename_tag(database, "Unknown", "Nothing has it")
    assert known(database) == [Tag("New", 1, 1)]
    tags.delete_tag(database, "new")
    assert (known(database), tags.tags_of_orders(database, [1])) == ([], {})

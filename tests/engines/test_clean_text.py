"""A hostile file or an answer of the provider may hold characters that PostgreSQL refuses."""

import json

from database import IMEIDatabase
from schema import sql


def test_a_text_with_nul_is_stored_with_another_character(server_database: IMEIDatabase) -> None:
    server_database.insert_order({"order_id": "1", "imei": "35", "notes": "a\x00b"})
    order = server_database.get_order("1")
    assert order
    assert order["notes"] == "a\ufffdb"
    assert server_database.get_order("\x00") is None


def test_a_list_as_json_may_hold_nul(server_database: IMEIDatabase) -> None:
    with server_database.read() as connection:
        query = sql("SELECT value FROM each(:words AS TEXT) given")
        found = connection.execute(query, {"words": json.dumps(["a\x00b", "ü", "plain"])}).scalars().all()
    assert found == ["a\ufffdb", "ü", "plain"]

"""A hostile file or an answer of the provider may hold characters that PostgreSQL refuses."""

import json

import pytest

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


@pytest.mark.parametrize("word", [r"\u0000", r"\\u0000", r"a\\\u0000", "a\\\x00"])
def test_only_an_escaped_nul_is_replaced(server_database: IMEIDatabase, word: str) -> None:
    """A person may type the six signs of its escape; in JSON they stand behind an escaped backslash."""
    kept = word.replace("\x00", "\ufffd")
    with server_database.read() as connection:
        query = sql("SELECT value FROM each(:words AS TEXT) given")
        assert connection.execute(query, {"words": json.dumps([word])}).scalars().all() == [kept]
        query = sql("SELECT word FROM rows(:rows AS word TEXT) given")
        assert connection.execute(query, {"rows": json.dumps([[word]])}).scalars().all() == [kept]
    server_database.insert_order({"order_id": "1", "imei": "35", "notes": word})
    order = server_database.get_order("1")
    assert order is not None
    assert order["notes"] == kept

"""The tab Models: counts, a search, and the import of a list with what became of each row."""

from io import BytesIO

from sqlalchemy import insert
from web_client import Browser, words

from database import IMEIDatabase
from schema import orders
from storage.model_store import TacCounts, tac_counts

PAGE = "/settings/models"


def imported(browser: Browser, text: str) -> str:
    answer = browser.post(f"{PAGE}/import", {"file": (BytesIO(text.encode()), "tacs.csv")})
    return words(browser.led_back(answer))


def test_a_list_is_imported_searched_and_deleted(browser: Browser, database: IMEIDatabase) -> None:
    text = "TAC,Brand,Model\n35337008,Apple,iPhone 14\n35123456,Samsung,Galaxy S21\n12,x,y\n35123456,Samsung,S21\n"
    page = imported(browser, text)
    assert "2 TACs read from tacs.csv: 2 new, 0 changed, 0 unchanged, 1 not valid, 1 repeated in the file." in page
    assert "1 row left out (row 4): A TAC has 8 digits." in page
    with database.write() as connection:
        values = {"imei": "353370089999999", "model": "iPhone 13", "status": "Completed"}
        connection.execute(insert(orders).values(**values))
    found = words(browser.get(f"{PAGE}?q=35337008-000001-1"))
    assert "From your own results 1 From the imported list 2" in found
    assert "TAC 35337008: iPhone 13" in found
    assert "iPhone 14 Apple Imported list" in found
    assert "Nothing is known of TAC 99999999." in words(browser.get(f"{PAGE}?q=99999999"))
    assert "1 new, 1 changed, 1 unchanged" in imported(browser, text.replace("iPhone 14", "X") + "86000000,,Mi 11\n")
    assert "3 imported TACs deleted." in words(browser.led_back(browser.post(f"{PAGE}/forget")))
    assert tac_counts(database) == TacCounts(1, 0)


def test_what_is_no_list_of_tacs_changes_nothing(browser: Browser, database: IMEIDatabase) -> None:
    assert "no row has the titles TAC and Model" in imported(browser, "IMEI\n353370080000011\n")
    assert "no row of the file has a TAC" in imported(browser, "TAC,Model\n12,x\n")
    assert "Choose a file with TACs." in words(browser.led_back(browser.post(f"{PAGE}/import")))
    assert tac_counts(database) == TacCounts(0, 0)

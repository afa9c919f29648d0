"""Links to reports: 256 random bits, of which the database has the hash, and nothing for a link that is over."""

from datetime import timedelta

import pytest
from handmade_calls import planned
from sqlalchemy import select

from access import create_link, open_link
from database import DatabaseUnavailableError, IMEIDatabase, utc_now
from schema import report_links
from storage import link_store
from storage.link_store import NewLink

SECOND = timedelta(seconds=1)


@pytest.fixture(name="new")
def new_fixture(database: IMEIDatabase) -> NewLink:
    batch_id, _ = planned(database, 1)
    return NewLink(batch_id, "anna", utc_now() + timedelta(days=7), has_prices=False, has_imeis=True, has_csv=False)


def test_a_link_has_256_random_bits_and_only_its_hash_is_stored(database: IMEIDatabase, new: NewLink) -> None:
    first, second = create_link(database, new), create_link(database, new)
    assert first != second
    assert first.startswith("hrl_")
    assert len(first) == 4 + 43  # base64url, 6 bits a character
    with database.read() as connection:
        stored = repr(connection.execute(select(report_links)).all())
    assert first[4:] not in stored
    assert second[4:] not in stored


def test_a_link_is_opened_until_it_expires_or_is_revoked_and_each_time_is_counted(
    database: IMEIDatabase, new: NewLink
) -> None:
    secret = create_link(database, new)
    for opens, now in enumerate((utc_now(), new.expires_at - SECOND)):
        found = open_link(database, secret, now)
        assert found
        assert (found.batch_id, found.has_imeis, found.opens) == (new.batch_id, True, opens)
    assert open_link(database, secret, new.expires_at) is None
    [link] = link_store.listed(database)
    assert (link.opens, link.opened_at) == (2, new.expires_at - SECOND)
    link_store.revoke(database, new.batch_id, link.id)
    assert open_link(database, secret, utc_now()) is None


@pytest.mark.parametrize("secret", ["", "hrl_", "hrl_" + "A" * 43, "hmr_", "hrl_\x00", "hrl_\udc80", "ø"])
def test_a_wrong_link_opens_nothing(database: IMEIDatabase, new: NewLink, secret: str) -> None:
    good = create_link(database, new)
    assert open_link(database, secret, utc_now()) is None
    assert open_link(database, good.upper(), utc_now()) is None
    assert open_link(database, good.removeprefix("hrl_"), utc_now()) is None


def test_a_report_is_shown_though_the_visit_cannot_be_counted(
    database: IMEIDatabase, new: NewLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_full(*_: object) -> None:
        raise DatabaseUnavailableError("UPDATE", {}, Exception("the disk is full"))

    secret = create_link(database, new)
    monkeypatch.setattr(link_store, "note_open", is_full)
    assert open_link(database, secret, utc_now())

"""The proven length of comma lists is kept for each service."""

from datetime import timedelta

from handmade_calls import OTHER, one
from simulated_provider import SERVICE

from database import IMEIDatabase, utc_now
from storage.list_limits import read_list_limit, write_list_limit


def test_the_newest_proof_of_a_service_counts_and_no_other_services(database: IMEIDatabase) -> None:
    with database.write() as connection:
        assert read_list_limit(connection, SERVICE) == 0
        write_list_limit(connection, SERVICE, 100)
        write_list_limit(connection, SERVICE, 2)
        assert (read_list_limit(connection, SERVICE), read_list_limit(connection, OTHER)) == (2, 0)
    minute_ago = (utc_now() - timedelta(minutes=1)).isoformat(" ")
    assert one(database, "SELECT count(*), max(proven_at) > ? FROM account_list_proofs", minute_ago) == (1, True)


def test_a_proof_of_one_account_is_none_of_another(database: IMEIDatabase) -> None:
    with database.write() as connection:
        write_list_limit(connection, SERVICE, 100)
        write_list_limit(connection, SERVICE, 7, "b")
        assert [read_list_limit(connection, SERVICE, account) for account in ("main", "b", "c")] == [100, 7, 0]

"""The proven length of comma lists is kept for each service."""

from handmade_calls import OTHER, one
from simulated_provider import SERVICE

from database import IMEIDatabase
from storage.list_limits import read_list_limit, write_list_limit


def test_the_newest_proof_of_a_service_counts_and_no_other_services(database: IMEIDatabase) -> None:
    with database.write() as connection:
        assert read_list_limit(connection, SERVICE) == 0
        write_list_limit(connection, SERVICE, 100)
        write_list_limit(connection, SERVICE, 2)
        assert (read_list_limit(connection, SERVICE), read_list_limit(connection, OTHER)) == (2, 0)
    assert one(database, "SELECT count(*), max(proven_at) > datetime('now', '-1 minute') FROM list_proofs") == (1, 1)

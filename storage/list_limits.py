"""How long a comma list of a service may be: the longest that an answer has named in full, inside a transaction."""

from sqlalchemy import bindparam, select

from database import Transaction, utc_now
from schema import list_proofs, upsert

#: Made once: building a statement takes longer than running it.
LIST_LIMIT = select(list_proofs.c.longest).where(list_proofs.c.service_id == bindparam("service"))


def read_list_limit(connection: Transaction, service_id: str) -> int:
    """Return the length of the longest comma list of this service that an answer has named in full, else 0."""
    return int(connection.execute(LIST_LIMIT, {"service": service_id}).scalar() or 0)


def write_list_limit(connection: Transaction, service_id: str, longest: int) -> None:
    """Store, with the date, the length of the comma lists that this service is proven for."""
    values = {"longest": longest, "proven_at": utc_now()}
    connection.execute(
        upsert(list_proofs)
        .values(service_id=service_id, **values)
        .on_conflict_do_update(index_elements=["service_id"], set_=values)
    )

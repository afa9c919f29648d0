"""How long a comma list of a service may be: the longest that an answer to an account has named in full."""

from sqlalchemy import bindparam, select

from database import Transaction, utc_now
from schema import account_list_proofs, upsert
from settings import MAIN_ACCOUNT

PROOF = account_list_proofs.c
#: Made once: building a statement takes longer than running it.
LIST_LIMIT = select(PROOF.longest).where(PROOF.account == bindparam("whose"), PROOF.service_id == bindparam("service"))


def read_list_limit(connection: Transaction, service_id: str, account: str = MAIN_ACCOUNT) -> int:
    """Return the length of the longest comma list of this service that an answer has named in full, else 0."""
    return int(connection.execute(LIST_LIMIT, {"service": service_id, "whose": account}).scalar() or 0)


def write_list_limit(connection: Transaction, service_id: str, longest: int, account: str = MAIN_ACCOUNT) -> None:
    """Store, with the date, the length of the comma lists that this service is proven for through an account."""
    values = {"longest": longest, "proven_at": utc_now()}
    connection.execute(
        upsert(account_list_proofs)
        .values(account=account, service_id=service_id, **values)
        .on_conflict_do_update(index_elements=["account", "service_id"], set_=values)
    )

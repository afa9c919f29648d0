"""Phones of an upload or an order that were ordered for other customers: a warning, and the list as CSV."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, Response, abort

import web.drafts as drafts
from backend import backend
from people import Role
from results import reading_choice
from spreadsheets import Intake, OutColumn
from storage.batch_uploads import Upload
from storage.customers import customer_key
from storage.customers_seen import Sighting, seen_for_others
from storage.rows import Order
from web.access import allow, describe
from web.downloads import csv_download

blueprint = Blueprint("customers_seen", __name__)

#: Customers of the warning, and IMEIs shown of each.
CUSTOMERS, SAMPLES = 8, 4
COLUMNS = (
    OutColumn("IMEI NO.", "imei", 17, digits=True),
    OutColumn("CUSTOMER", "customer", 30),
    OutColumn("BATCH", "batch_id", 9),
    OutColumn("SERVICE", "service_name", 34),
    OutColumn("CREATED", "created_at", 20, moment=True),
)


@dataclass(frozen=True, slots=True)
class SeenFor:
    """What another customer had of these phones."""

    newest: Sighting
    imeis: Sequence[str]

    @property
    def samples(self) -> Sequence[str]:
        """Return the first of its IMEIs."""
        return self.imeis[:SAMPLES]


@dataclass(frozen=True, slots=True)
class SeenElsewhere:
    """Phones of a list that other customers had."""

    imeis: int  #: different ones
    customers: Sequence[SeenFor]  #: most phones first, at most CUSTOMERS
    more: int  #: further customers


@blueprint.get("/batch/preview/<token>/other-customers.csv")
@allow(Role.OPERATOR, "export")
def download(token: str) -> Response:
    """Download each phone of an upload that another customer had, with the batch."""
    found = drafts.find(token)
    if found is None:
        abort(404, "This upload no longer exists. Upload the file again.")
    seen = _sightings(found, drafts.read(found, reading_choice(found.choice)))
    describe(rows=len(seen))
    rows = ({name: getattr(one, name) for name in one.__slots__} for one in seen)
    return csv_download(rows, COLUMNS, "seen-for-other-customers.csv")


def seen_elsewhere(upload: Upload, intake: Intake) -> SeenElsewhere | None:
    """Return the phones of an upload that other customers had; None where there are none."""
    return grouped_by_customer(_sightings(upload, intake))


def also_seen(order: Order, customer: str) -> SeenElsewhere | None:
    """Return for which other customers the phone of an order was ordered, by its IMEI or its IMEI 2."""
    imeis = dict.fromkeys(filter(None, (order.imei, order.imei2)))
    return grouped_by_customer(seen_for_others(backend().database, imeis, customer))


def grouped_by_customer(seen: Sequence[Sighting]) -> SeenElsewhere | None:
    """Return sightings, the newest first, by customer; None where there are none."""
    groups: dict[str, tuple[Sighting, dict[str, None]]] = {}
    for one in seen:
        groups.setdefault(customer_key(one.customer), (one, {}))[1].setdefault(one.imei)
    found = sorted((SeenFor(newest, list(imeis)) for newest, imeis in groups.values()), key=lambda one: -len(one.imeis))
    count = len({one.imei for one in seen})
    return SeenElsewhere(count, found[:CUSTOMERS], max(len(found) - CUSTOMERS, 0)) if found else None


def _sightings(upload: Upload, intake: Intake) -> list[Sighting]:
    imeis = [*intake.ready.imeis(), *(intake.luhn_failed.imeis() if upload.choice.get("include_luhn") else ())]
    return seen_for_others(backend().database, imeis, upload.customer)

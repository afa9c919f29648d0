"""A batch with everything that pages show, and a visit of every page that shows stored data."""

from automation_scene import store_automation
from plain_sql import run
from simulated_provider import imeis
from web_client import Browser, answer_chunks

from database import IMEIDatabase
from orders import AutomationKind, DisputeKind, Outcome, RunKind
from storage import dispute_store, order_filters
from storage.disputable import Disputable
from storage.order_terms import OrderFilter
from storage.tag_store import tag_batches, tag_orders

NUMBERS = imeis(260, 5000)
#: With places for the id of a batch, of an order, and an IMEI.
PAGES = [
    "/",
    "/submit",
    "/batch",
    "/services",
    "/database",
    "/settings",
    "/settings/notifications",
    "/settings/notifications/webhooks/1",
    "/settings/notifications/deliveries",
    "/settings/notifications/deliveries?webhook=1&state=failed&before=9",
    "/settings/models",
    "/settings/models?q=35000000",
    "/submit/known.json?imei={2}&service_id=1739",
    "/settings/audit-log",
    "/settings/audit-log?actor=demo",
    "/settings/audit-log?subject=batch+1",
    "/status",
    "/health",
    "/status.json",
    "/batches",
    "/batches?before=9",
    "/batches?q=berlin",
    "/batches?person=demo",
    "/batches?tag=sold",
    "/batches?customer=acme",
    "/customers",
    "/customers/one?name=acme",
    "/account",
    "/tags",
    "/search?q=acme",
    "/search?q=353",
    "/search?q={2}0",
    "/scan",
    "/scan/sessions",
    "/reports",
    "/reports?by=service",
    "/reports?by=batch&since=2026-01-01",
    "/reports?by=person",
    "/reports/spend.csv",
    "/reports/disputes.csv",
    "/reports/disputes?kind=in_doubt",
    "/reports/disputes?kind=mismatched&before=90",
    "/reports/disputes?kind=rejected&before=90",
    "/reports/disputes?kind=rejected&batch={0}",
    "/reports/disputes?kind=rejected&service=1739",
    "/reports/disputes?kind=mismatched&batch={0}&service=1739",
    "/reports/disputes?state=open&kind=in_doubt",
    "/reports/disputes?state=all&before=9",
    "/reports/disputes.csv?state=open",
    "/reports/disputes/1",
    "/batches/{0}/report",
    "/settings/links",
    "/services?sort=median&used=1",
    "/services/1739",
    "/automations",
    "/automations/1",
    "/automations/runs/1",
    "/automations/runs/1/changes.csv",
    "/automations/new?fmi=ON&batch={0}",
    "/automations/new?carrier=A&kind=recheck",
    "/history/rows?seen=1:Pending",
    "/batches/{0}",
    "/batches/{0}/progress.json",
    "/batches/{0}/doubt",
    "/batches/{0}/findings",
    "/batches/{0}/findings.csv",
    "/batches/{0}/results.csv",
    "/batches/{0}/results.xlsx",
    "/history",
    "/history?before=200",
    "/history.csv",
    "/history.xlsx",
    "/orders/{1}",
    "/history?q={2}",
    "/history?q=35",
    "/history?status=Pending",
    "/history?service=1739",
    "/history?batch={0}",
    "/history?person=demo",
    "/history?person=demo&verdict=fail",
    "/history?person=demo&since=2026-01-01",
    "/history?tag=sold",
    "/history?tag=sold&verdict=fail",
    "/history?carrier=A",
    "/history?simlock=Locked",
    "/history?fmi=ON",
    "/history?blacklist=Clean",
    "/history?blacklist=Clean&carrier=a&fmi=ON",
    "/history?model=iphone",
    "/history?verdict=fail",
    "/history?verdict=fail&batch={0}",
    "/history?verdict=pending",
    "/history?verdict=pass&carrier=A&since=2026-01-01",
    "/history?serial=F17",
    "/history?serial=F17&status=Rejected",
    "/history?since=2026-01-01",
    "/history?until=2099-01-01",
    "/history?mismatch=1",
    "/history?q=35&status=Rejected&fmi=ON&carrier=A&simlock=Locked&service=1739&batch={0}",
    "/history.csv?since=2026-01-01&carrier=A",
    "/history.xlsx?mismatch=1&q=35",
]


def finding(imei: str) -> tuple[Outcome, str]:
    place = NUMBERS.index(imei)
    if place % 50 == 49:
        return Outcome.REFUSED, "Invalid IMEI"
    return (Outcome.IN_DOUBT, "no answer") if place % 50 == 48 else (Outcome.ORDERED, "")


def fill(browser: Browser, database: IMEIDatabase) -> int:
    """A batch with orders, refusals and doubt, of which some have results."""
    batch_id = browser.start(NUMBERS)
    answer_chunks(database, finding)
    with database.write() as connection:
        run(
            connection,
            "UPDATE orders SET status = 'Completed', carrier = 'A', fmi = 'ON', simlock = 'Locked',"
            " blacklist = 'Clean', model = 'iPhone ' || id % 3, serial = 'F17' || id,"
            " other_imei = CASE WHEN id % 9 = 0 THEN '359999990000001' END WHERE id % 2 = 1",
        )
        run(connection, "UPDATE orders SET order_id = '14' || substr(order_id, 3)")  # not the simulator's
        run(connection, "UPDATE batches SET customer = 'ACME', label = 'Stock of Acme'")
    dispute_store.open_all(database, Disputable(DisputeKind.IN_DOUBT), "demo")
    store_automation(database, AutomationKind.RECHECK, RunKind.BY_HAND, batch_id)
    tag_batches(database, [batch_id], "Sold")
    tag_orders(database, [1, 2], "sold")
    return batch_id


def visit(browser: Browser, database: IMEIDatabase, batch_id: int) -> None:
    order_id = order_filters.page(database, OrderFilter(), None, 1)[0].order_id
    for page in PAGES:
        answer = browser.get(page.format(batch_id, order_id, NUMBERS[0]))
        assert answer.status_code == 200, page
        assert answer.data

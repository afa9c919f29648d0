"""The answers of the API: what each resource looks like. This module must not know a request or the database."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import jsonify, url_for
from flask.typing import ResponseReturnValue
from marshmallow import EXCLUDE, Schema, fields, validate

from api.fields import Dollars, Moment
from grading import PENDING, Verdict
from orders import BatchStage, BatchState, Outcome
from people import Role, Scope
from web import XLSX, Export

VERDICTS = [*map(str, Verdict), PENDING]
BINARY = {"type": "string", "format": "binary"}
#: The content types of files, with their schemas.
FILES = {"text/csv": BINARY, "text/plain": BINARY, XLSX: BINARY}
#: Seconds after which a client may ask for the state of an export again.
ASK_AGAIN = 2


class AnswerSchema(Schema):
    """An answer, read from an object: every field, each time. What the object lacks is null."""

    class Meta:
        """Later versions may add fields."""

        unknown = EXCLUDE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """List each field as required in the document, but those of problems that are not about fields."""
        field_obj.required = field_name != "errors"

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        """Return what the object has under this name, or under the names of a path such as "balance.credits"."""
        found = obj
        for name in attr.split("."):
            found = found.get(name) if isinstance(found, Mapping) else getattr(found, name, None)
        return found


class Derived(fields.Nested):
    """A nested answer that is made of the whole object."""

    def __init__(self, nested: type[Schema], make: Callable[[Any], Any], **more: Any) -> None:
        super().__init__(nested, **more)
        self._make = make

    def serialize(self, attr: str, obj: Any, accessor: Any = None, **kwargs: Any) -> Any:
        """Return the nested answer; None where there is nothing to make it of."""
        made = self._make(obj)
        return None if made is None else self.schema.dump(made)


def words(description: str = "", of: type | None = None, **more: Any) -> fields.String:
    """Return a field for a text; of: the enum whose words it has."""
    metadata = {"description": description} if description else {}
    return fields.String(validate=validate.OneOf(list(map(str, of))) if of else None, metadata=metadata, **more)  # type: ignore[call-overload]


def maybe(description: str = "", **more: Any) -> fields.String:
    """Return a field for a text or null."""
    return words(description, allow_none=True, **more)


def link_schema(name: str, *names: str) -> type[Schema]:
    """Return the answer that holds these addresses."""
    return AnswerSchema.from_dict({each: fields.String() for each in names}, name=name)


class WrongField(AnswerSchema):
    """What is wrong with one value. `pointer`, `parameter`, `header` or `row` say where it is."""

    detail = words()


class ProblemAnswer(AnswerSchema):
    """Why a request was refused (RFC 9457)."""

    type = words("A name for this kind of problem.")
    title = words()
    status = fields.Integer()
    detail = words()
    instance = words("The path of the request.")
    request_id = words("The log names it too.")
    errors = fields.List(fields.Nested(WrongField), metadata={"description": "What is wrong, at most 100."})


class ServiceAnswer(AnswerSchema):
    """A service that IMEIs can be ordered from."""

    id = words(attribute="package_id")
    title = words()
    price = Dollars(metadata={"description": "US dollars an IMEI."})
    delivery_time = words()
    category = words()
    is_orderable = fields.Boolean(attribute="orderable", metadata={"description": "Whether an IMEI alone is enough."})
    required_fields = fields.List(fields.String())


class ServiceList(AnswerSchema):
    """All services."""

    services = fields.List(fields.Nested(ServiceAnswer))
    refreshed_at = Moment(allow_none=True)
    is_outdated = fields.Boolean(metadata={"description": "The provider did not answer the last time."})


class AccountAnswer(AnswerSchema):
    """What may be spent, and by whom."""

    balance = Dollars(allow_none=True)
    balance_at = Moment(allow_none=True)
    is_outdated = fields.Boolean(metadata={"description": "Orders were sent since; it may be less by now."})
    promised = Dollars(metadata={"description": "What unfinished batches may still cost."})
    spent_today = Dollars()
    orders_today = fields.Integer()
    daily_budget = Dollars(allow_none=True)
    daily_limit = Dollars(allow_none=True, metadata={"description": "Of this token."})
    name = words("Of this token.")
    role = words(of=Role)
    scopes = fields.List(words(of=Scope))


class ProviderAccountAnswer(AnswerSchema):
    """One account at the provider."""

    name = words("`main` is the first one.")
    state = words("`Sends`, `Off`, `Stopped` or `Short of money`.", attribute="condition")
    reason = words("Why it sends nothing, or less.", attribute="words")
    balance = Dollars(allow_none=True, attribute="balance.credits")
    spent_today = Dollars(attribute="spent")
    daily_budget = Dollars(allow_none=True, attribute="budget")
    calls_a_minute = fields.Integer(allow_none=True, attribute="limit")
    calls_now = fields.Integer(attribute="calls")


class ProviderAccountList(AnswerSchema):
    """All accounts at the provider."""

    accounts = fields.List(fields.Nested(ProviderAccountAnswer))


OutcomeCounts = AnswerSchema.from_dict({str(each): fields.Integer() for each in Outcome}, name="OutcomeCounts")
VerdictTotals = AnswerSchema.from_dict({each: fields.Integer() for each in VERDICTS}, name="VerdictTotals")


#: The views of what is in a batch.
CONTENTS = ("items", "results", "sheet", "events")


def batch_links(batch_id: int) -> dict[str, str]:
    """Return the addresses of what belongs to a batch."""
    contents = {name: url_for(f"api_contents.{name}", batch_id=batch_id) for name in CONTENTS}
    return {"self": url_for("api_batches.show", batch_id=batch_id), **contents}


class BatchAnswer(AnswerSchema):
    """A batch: one list of IMEIs, ordered from one service."""

    id = fields.Integer(attribute="batch_id")
    state = words(of=BatchState)
    stage = words("Where it stands for somebody who waits for results.", of=BatchStage)
    notice = words("Why it is paused or slow.")
    reason = words("Why it needs a person.")
    label = words()
    customer = words()
    note = words()
    service_id = words()
    service_name = words()
    unit_price = Dollars()
    total = fields.Integer(metadata={"description": "Its IMEIs."})
    outcomes = Derived(OutcomeCounts, lambda batch: {str(name): count for name, count in batch.outcomes.items()})
    results = fields.Integer(metadata={"description": "Orders whose result is here."})
    pending = fields.Integer(metadata={"description": "Orders whose result is still to come."})
    verdicts = Derived(VerdictTotals, lambda batch: batch.verdicts.by_word())
    spent = Dollars(metadata={"description": "What its orders cost."})
    cost = Dollars(metadata={"description": "What it costs if everything that waits or is in doubt is ordered too."})
    at_stake = Dollars(metadata={"description": "What may have been charged for IMEIs in doubt."})
    is_settled = fields.Boolean(metadata={"description": "Nothing of it changes any more."})
    created_at = Moment(allow_none=True)
    started_at = Moment(allow_none=True)
    finished_at = Moment(allow_none=True)
    ordered_by = maybe("The user or token that ordered it.")
    links = Derived(link_schema("BatchLinks", "self", *CONTENTS), lambda b: batch_links(b.batch_id))


class BatchList(AnswerSchema):
    """Batches, newest first."""

    batches = fields.List(fields.Nested(BatchAnswer))
    next_cursor = maybe("Of the next page.")


class ReadValue(AnswerSchema):
    """What became of one value of a request."""

    row = fields.Integer(metadata={"description": "In the list or file, from 1."})
    text = words("As it came.")
    imei = words('15 digits, or "".')
    reason = words()


READ_KINDS = ("repaired", "repeated", "second_imeis", "rejected")
ReadCounts = AnswerSchema.from_dict({each: fields.Integer() for each in READ_KINDS}, name="ReadCounts")


class NewBatchAnswer(AnswerSchema):
    """A batch that was created, and what was read."""

    id = fields.Integer()
    state = words(of=BatchState)
    label = words()
    service_id = words()
    unit_price = Dollars()
    total = fields.Integer(metadata={"description": "Its IMEIs."})
    to_send = fields.Integer(metadata={"description": "IMEIs that are ordered; the others are known or under way."})
    cost = Dollars(metadata={"description": "US dollars, if all of them are accepted."})
    is_continued = fields.Boolean(metadata={"description": "The batch existed: the same IMEIs were under way."})
    counts = fields.Nested(ReadCounts)
    repaired = fields.List(fields.Nested(ReadValue), metadata={"description": "Changed to be IMEIs; at most 100."})
    repeated = fields.List(fields.Nested(ReadValue), metadata={"description": "Taken once; at most 100."})
    second_imeis = fields.List(fields.Nested(ReadValue), metadata={"description": "Not taken: IMEI 1 answers."})
    rejected = fields.List(fields.Nested(ReadValue), metadata={"description": "Not IMEIs; at most 100."})
    warnings = fields.List(fields.String())
    links = fields.Nested(link_schema("NewBatchLinks", "self", *CONTENTS))


class FindingsAnswer(AnswerSchema):
    """What a result says of the device."""

    model = maybe()
    carrier = maybe()
    simlock = maybe()
    fmi = maybe()
    blacklist = maybe()
    serial = maybe()
    warranty = maybe()
    imei2 = maybe()


class ItemOrder(AnswerSchema):
    """The order that answers for an item: its own, or for a duplicate the earlier one."""

    order_id = maybe()
    status = maybe()
    placed_at = Moment(allow_none=True, attribute="order_date")


class ItemAnswer(AnswerSchema):
    """One IMEI of a batch."""

    imei = words()
    outcome = words(of=Outcome)
    message = maybe("Why the outcome is what it is.")
    verdict = maybe()
    order = Derived(ItemOrder, lambda item: item if item.status else None, allow_none=True)
    findings = Derived(FindingsAnswer, lambda item: item)


class ItemList(AnswerSchema):
    """IMEIs of a batch in the order of its list."""

    items = fields.List(fields.Nested(ItemAnswer))
    next_cursor = maybe("Of the next page.")


class OrderAnswer(AnswerSchema):
    """One order at the provider, with its result."""

    order_id = maybe()
    imei = words()
    service_id = maybe()
    service_name = maybe()
    status = maybe()
    verdict = maybe()
    cost = Dollars(allow_none=True, attribute="credits")
    placed_at = Moment(allow_none=True, attribute="order_date")
    updated_at = Moment(allow_none=True)
    batch_id = fields.Integer(allow_none=True)
    result_imei = maybe("The IMEI that the result is about, if not the ordered one.", attribute="other_imei")
    findings = Derived(FindingsAnswer, lambda order: order)
    result = maybe("The result text without markup.", attribute="result_code_display")


class OrderList(AnswerSchema):
    """Orders, in the order of `sort`."""

    orders = fields.List(fields.Nested(OrderAnswer))
    next_cursor = maybe("Of the next page.")


class SearchAnswer(AnswerSchema):
    """A list of IMEIs that is looked up."""

    id = fields.Integer()
    imeis = fields.Integer()
    known = fields.Integer(metadata={"description": "IMEIs with an order."})
    rejected = fields.Integer(metadata={"description": "Values that are no IMEI."})
    links = fields.Nested(link_schema("SearchLinks", "orders", "missing"))


class MissingList(AnswerSchema):
    """IMEIs of a search without an order."""

    imeis = fields.List(fields.String())
    next_cursor = maybe("Of the next page.")


class CheckAnswer(AnswerSchema):
    """What is known of one IMEI."""

    id = fields.Integer()
    imei = words()
    service_id = words()
    is_open = fields.Boolean(metadata={"description": "An answer may still come: ask again in a second."})
    is_new = fields.Boolean(metadata={"description": "Whether this check ordered it."})
    outcome = maybe()
    message = words()
    verdict = maybe()
    order = fields.Nested(OrderAnswer, allow_none=True)
    batch_id = fields.Integer(allow_none=True)


class ExportAnswer(AnswerSchema):
    """A file that is built in the background."""

    id = words(attribute="token")
    name = words()
    state = words("building, done or failed")
    rows = fields.Integer()
    total = fields.Integer(metadata={"description": "About how many rows it will have."})
    error = words()
    notices = fields.List(fields.String(), metadata={"description": "What the file lacks."})
    links = Derived(
        link_schema("ExportLinks", "self", "file"),
        lambda export: {
            name: url_for(f"api_exports.{view}", export_id=export.token)
            for name, view in (("self", "show"), ("file", "download"))
        },
    )


def accepted(export: Export) -> ResponseReturnValue:
    """Return the answer about a file that is being built."""
    headers = {"Location": url_for("api_exports.show", export_id=export.token), "Retry-After": str(ASK_AGAIN)}
    return jsonify(ExportAnswer().dump(export)), 202, headers


class RuleAnswer(AnswerSchema):
    """A grading rule. The first that fits decides."""

    verdict = words(of=Verdict)
    condition = words()
    value = words()
    service_id = words()


class RulesAnswer(AnswerSchema):
    """The grading rules in force."""

    version = fields.Integer()
    created_at = Moment()
    author = words()
    rules = fields.List(fields.Nested(RuleAnswer))


class CheckState(AnswerSchema):
    """The state of one part."""

    status = words()


class HealthAnswer(AnswerSchema):
    """The state of the app."""

    status = words("healthy, degraded or unhealthy")
    version = words()
    checks = fields.Dict(keys=fields.String(), values=fields.Nested(CheckState))

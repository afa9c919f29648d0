"""Send a mixed upload in parts, each brand to its own service, with one confirmation.

What is shown is what is ordered: each part is planned and compared as a whole upload is, money holds for their sum, and
all batches are created in one transaction. The confirm token of a part is made of the upload's token and the brand, so
a second click, or Back, gives the same batches.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flask import Blueprint, flash, render_template, request
from flask.typing import ResponseReturnValue

import web.drafts as drafts
from backend import backend
from devices import brands_of_service, fits
from orders import BatchNames, Catalogue, ServiceInfo
from people import Role
from results import reading_choice
from spreadsheets import UnreadableFileError
from storage import batch_queries, model_store
from storage.batch_creation import NotOrderedError
from storage.batch_uploads import SentParts, Upload, batch_of_token, sent_parts
from storage.service_marks import recent_services
from submission import Plan, objections_of_parts, unchecked
from web.access import allow, current_actor, describe, record_nothing
from web.batch_fields import names_from
from web.format import plural
from web.lots import BrandPart, asked_again, chosen_imeis, parts_of
from web.ordering import Shown, price_mark, start_parts, typing_objection
from web.redirects import go_to, refuse

blueprint = Blueprint("split", __name__, url_prefix="/batch/preview/<token>/split")

#: TACs of a part whose orders are looked at for its usual service.
LOOKED_AT = 5
#: Parts that a form is read for; there are not many more brands.
MOST_PARTS = 1000
CHANGED = "Nothing was sent: the services were changed. Check the new cost, then confirm."
LOOK_AGAIN = "Nothing was sent: the IMEIs, their brands, a service or its price have changed since. Please look again."


@dataclass(frozen=True, slots=True)
class PartLine:
    """One part of an upload, and what sending it would do."""

    part: BrandPart
    services: tuple[ServiceInfo, ...]  #: for phones of this brand, by title
    plan: Plan | None  #: None: it is not sent

    @property
    def service_id(self) -> str:
        """The service that it is sent to; "" for none."""
        return self.plan.service.package_id if self.plan else ""

    @property
    def price(self) -> str:
        """The price as the form holds it."""
        return price_mark(self.plan) if self.plan else ""

    @property
    def is_sent(self) -> bool:
        """Whether confirming creates or continues a batch of it."""
        return self.plan is not None and (self.plan.count > 0 or self.plan.continues is not None)


@dataclass(frozen=True, slots=True)
class UploadParts:
    """All parts that are not sent yet."""

    lines: tuple[PartLine, ...]
    sent: SentParts  #: which of it was sent before, from the snapshot that the lines leave out
    objections: tuple[str, ...]

    @property
    def plans(self) -> list[Plan]:
        """The plans of the parts that are sent."""
        return [line.plan for line in self.lines if line.plan and line.is_sent]

    @property
    def count(self) -> int:
        """IMEIs that would be sent."""
        return sum(plan.count for plan in self.plans)

    @property
    def cost(self) -> float:
        """US dollars if every one of them is accepted."""
        return sum(plan.cost for plan in self.plans)

    @property
    def must_type(self) -> bool:
        """Whether the user must type the number of IMEIs to confirm."""
        return self.cost > backend().settings.confirm_above


@blueprint.get("")
@allow(Role.OPERATOR)
def show(token: str) -> ResponseReturnValue:
    """Show each brand of the upload with a service, price and cost, and the batches that were made of its parts."""
    batch_id = batch_of_token(backend().database, token)
    if batch_id is not None:
        return go_to("batches.live", batch_id=batch_id)
    found = drafts.upload_or_404(token)
    asked = request.args.getlist("s") if "s" in request.args else None
    split = _split(found, backend().catalog.current(), asked)
    made = (batch_queries.progress(backend().database, one) for one in split.sent.batches.values())
    sent = [batch for batch in made if batch]
    if not split.lines and not sent:
        return go_to("preview.show", token=token)
    return render_template("split.html", upload=found, split=split, sent=sent)


@blueprint.errorhandler(UnreadableFileError)
def unreadable(error: UnreadableFileError) -> ResponseReturnValue:
    """Redirect to the form where a stored upload cannot be read any more, such as after a limit was lowered."""
    return refuse(str(error), "preview.batch")


@blueprint.post("/services")
@allow(Role.OPERATOR)
def choose(token: str) -> ResponseReturnValue:
    """Show the cost with other services."""
    return go_to("split.show", token=token, s=_posted("s"))


@blueprint.post("")
@allow(Role.OPERATOR, "batch.confirm")
def confirm(token: str) -> ResponseReturnValue:
    """Create a batch of each part that has a service, once; change nothing where the page showed something else."""
    database = backend().database
    if batch_of_token(database, token) is not None:
        record_nothing()
        return go_to("split.show", token=token)
    found = drafts.upload_or_404(token)
    describe(file=found.label)
    catalogue = backend().catalog.for_confirmation()
    split = _split(found, catalogue, _posted("s"))
    if not split.lines:  # a first click has sent them
        record_nothing()
        return go_to("split.show", token=token)
    objection = unchecked(catalogue) or _reason_to_look_again(split)
    if objection:
        return _refused(token, objection)
    try:
        made = start_parts(backend(), _parts(found, split), found.kind)
    except NotOrderedError as error:
        return _refused(token, f"Nothing was sent. {error}")
    flash(f"{plural(len(made), 'batch', 'batches')} started: {plural(split.count, 'IMEI')} to send.", "good")
    return go_to("split.show", token=token)


def _posted(name: str) -> list[str]:
    """Return what the form holds of each part under a name, such as the services s-0, s-1, …"""
    parts = min(request.form.get("parts", 0, type=int), MOST_PARTS)
    return [request.form.get(f"{name}-{place}", "") for place in range(parts)]


def _refused(token: str, why: str) -> ResponseReturnValue:
    return refuse(why, "split.show", token=token, s=_posted("s"))


def _split(found: Upload, catalogue: Catalogue, asked: Sequence[str] | None) -> UploadParts:
    """Return the parts of an upload that are in no batch yet. asked: the service of each, in their order."""
    intake = drafts.read(found, reading_choice(found.choice))
    sent = sent_parts(backend().database, found.token)
    parts = parts_of([pair for pair in chosen_imeis(intake, found.choice) if pair[0] not in sent.imeis])
    services = {part.brand: _services(catalogue, part.brand) for part in parts}
    chosen = asked if asked is not None and len(asked) == len(parts) else _usual_services(found, parts, services)
    again = asked_again(found.choice)
    lines = []
    for part, service_id in zip(parts, chosen, strict=True):
        service = next((one for one in services[part.brand] if one.package_id == service_id), None)
        plan = backend().plan(service, part.imeis, current_actor(), again) if service else None
        lines.append(PartLine(part, services[part.brand], plan))
    split = UploadParts(tuple(lines), sent, ())
    return replace(split, objections=objections_of_parts(split.plans, backend().order_objection()))


def _services(catalogue: Catalogue, brand: str) -> tuple[ServiceInfo, ...]:
    """Return the services that can be ordered for phones of a brand: those that name it first."""
    fitting = (service for service in catalogue.services if service.orderable and fits(brand, service.title))
    return tuple(sorted(fitting, key=lambda one: (brand not in brands_of_service(one.title), one.title.lower())))


def _usual_services(
    found: Upload, parts: Sequence[BrandPart], services: Mapping[str, Sequence[ServiceInfo]]
) -> list[str]:
    """Return the service of each part: the upload's where it fits, else that of most earlier orders, else none."""
    recent = recent_services(backend().database)
    chosen = []
    for part in parts:
        offered = [service.package_id for service in services[part.brand]]
        named = [one.package_id for one in services[part.brand] if part.brand in brands_of_service(one.title)]
        usual = [] if found.service_id in offered else _ordered_before(part)
        wanted = (found.service_id, *usual, *(one for one in recent if one in named))
        chosen.append(next((one for one in wanted if one in offered), ""))
    return chosen


def _ordered_before(part: BrandPart) -> list[str]:
    """Return the services that phones of the part's most frequent TACs were ordered with, the most frequent first."""
    tacs = Counter(imei[: model_store.TAC] for imei, _ in part.imeis).most_common(LOOKED_AT)
    ordered = model_store.services_ordered(backend().database, [tac for tac, _ in tacs])
    return [service for service, _ in Counter(one for used in ordered.values() for one in used).most_common()]


def _reason_to_look_again(split: UploadParts) -> str:
    """Return why nothing was confirmed; "" when there is no reason."""
    if _posted("s") != _posted("was"):
        return CHANGED
    for place, line in enumerate(split.lines):
        shown = Shown(*(request.form.get(f"{name}-{place}", "") for name in ("price", "count", "mark")))
        if line.plan and (changed := shown.price_objection(line.plan)):
            return changed
        if not shown.fits(line.plan) if line.plan else shown != Shown("", "", ""):
            return LOOK_AGAIN
    if len(_posted("s")) != len(split.lines):
        return LOOK_AGAIN
    if split.objections:
        return "Nothing was sent. " + " ".join(split.objections)
    return typing_objection(split.count) if split.must_type else ""


def _parts(found: Upload, split: UploadParts) -> list[tuple[Plan, BatchNames, str]]:
    """Return plan, names and confirm token of each part that is sent.

    A token counts the batches that the lines leave out, so that of two clicks on the same page the second has the
    tokens of the first, also where the first was committed in between.
    """
    names, made = names_from(request.form, found.names), split.sent.batches
    parts = []
    for line in split.lines:
        if line.plan and line.is_sent:
            key = f"{found.token}/{line.part.brand.replace('/', '-') or 'unknown'}"
            earlier = sum(token == key or token.startswith(f"{key}/") for token in made)
            token = f"{key}/{earlier}" if earlier else key
            parts.append((line.plan, replace(names, name=f"{names.name} · {line.part.label}"), token))
    return parts

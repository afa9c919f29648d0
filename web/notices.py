"""The pages of notifications: addresses of people, webhooks with their secrets, and what became of each delivery."""

from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint, abort, flash, render_template, request, url_for
from flask.typing import ResponseReturnValue

from backend import backend
from database import Transaction, utc_now
from notices import (
    TEST,
    AddressRefusedError,
    Message,
    Target,
    find_endpoint,
    message_id,
    new_secret,
    send_messages,
    targets_of,
)
from orders import NotPossibleError
from people import Role
from storage import delivery_store, webhook_store
from storage.delivery_store import DeliveryState
from storage.outbox import EventKind
from storage.webhook_store import MOST_WEBHOOKS, Webhook
from web.access import allow, describe
from web.batch_fields import one_line
from web.context import row_number
from web.forms import keep_typed, typed_into
from web.redirects import go_to, refuse

blueprint = Blueprint("notices", __name__, url_prefix="/settings/notifications")

#: Deliveries on a page, and the newest ones of a webhook.
PAGE, NEWEST = 50, 10
LONGEST_DESCRIPTION = 200  #: characters
#: What a webhook can subscribe to.
OFFERED = tuple(kind for kind in EventKind if kind is not EventKind.TEST)
BY_HAND = "The webhook was disabled by a person."
UNKNOWN = "This webhook no longer exists."


@dataclass(frozen=True, slots=True)
class EnteredWebhook:
    """What a person entered about a webhook, checked."""

    url: str
    host: str
    description: str
    events: tuple[EventKind, ...]


@blueprint.get("")
@allow(Role.ADMIN)
def show() -> str:
    """Show who gets messages, all webhooks, and the form for another one."""
    return render_template(
        "notices.html",
        targets=_targets(),
        low_balance=backend().settings.low_balance,
        webhooks=webhook_store.all_webhooks(backend().database),
        offered=OFFERED,
        most=MOST_WEBHOOKS,
        typed=typed_into(url_for("notices.add")),
    )


@blueprint.post("/test")
@allow(Role.ADMIN, "notify.test")
def test_people() -> ResponseReturnValue:
    """Send a test message to each address of NOTIFY_URLS, and show what became of it."""
    title, body = TEST
    targets = _targets()
    sent = send_messages([Message(target.key, target.url, title, body) for target in targets])
    for target in targets:
        result = sent[target.key]
        words = "The test message was sent." if result.is_sent else f"Not sent. {result.words}"
        flash(f"{target.label}: {words}", "good" if result.is_sent else "error")
    return go_to("notices.show")


@blueprint.post("/webhooks")
@allow(Role.ADMIN, "webhook.add", prove=True)
def add() -> ResponseReturnValue:
    """Add a webhook and show its secret, this once."""
    secret = new_secret()
    try:
        entered = _entered()
        with backend().database.write() as connection:
            added = webhook_store.add_webhook(connection, entered.url, entered.description, entered.events, secret)
        if added is None:
            raise NotPossibleError(f"There are {MOST_WEBHOOKS} webhooks already. Delete one that is not used.")
    except NotPossibleError as error:
        keep_typed()
        return refuse(f"The webhook was not added: {error}", "notices.show")
    describe(f"webhook {added}", host=entered.host, events=" ".join(entered.events))
    return render_template("webhook_secret.html", webhook_id=added, secret=secret, is_new=True)


@blueprint.get("/webhooks/<int:webhook_id>")
@allow(Role.ADMIN)
def webhook(webhook_id: int) -> str:
    """Show a webhook with its newest deliveries."""
    found = _webhook_or_404(webhook_id)
    newest = delivery_store.page(backend().database, None, webhook_id, None, NEWEST)
    typed = typed_into(url_for("notices.change", webhook_id=webhook_id))
    return render_template("webhook.html", webhook=found, offered=OFFERED, now=utc_now(), typed=typed, **_table(newest))


@blueprint.post("/webhooks/<int:webhook_id>")
@allow(Role.ADMIN, "webhook.change", prove=True)
def change(webhook_id: int) -> ResponseReturnValue:
    """Change URL, description and events."""
    try:
        entered = _entered()
    except NotPossibleError as error:
        keep_typed()
        return refuse(f"The webhook was not changed: {error}", "notices.webhook", webhook_id=webhook_id)
    describe(host=entered.host, events=" ".join(entered.events))
    values = (entered.url, entered.description, entered.events)
    return _changed(webhook_id, lambda c: webhook_store.change_webhook(c, webhook_id, *values), "The webhook is saved.")


@blueprint.post("/webhooks/<int:webhook_id>/disable")
@allow(Role.ADMIN, "webhook.disable", prove=True)
def turn_off(webhook_id: int) -> ResponseReturnValue:
    """Send nothing more to a webhook."""
    words = "The webhook is disabled. What waited for it was not sent."
    return _changed(webhook_id, lambda c: webhook_store.disable_webhook(c, webhook_id, BY_HAND), words)


@blueprint.post("/webhooks/<int:webhook_id>/enable")
@allow(Role.ADMIN, "webhook.enable", prove=True)
def turn_on(webhook_id: int) -> ResponseReturnValue:
    """Send to a webhook again."""
    if not _webhook_or_404(webhook_id).has_secret:
        return refuse(
            "Not enabled: the webhook has no secret, as after a restore. Rotate its secret first.",
            "notices.webhook",
            webhook_id=webhook_id,
        )
    words = "The webhook is enabled. It gets what happens from now on."
    return _changed(webhook_id, lambda c: webhook_store.enable_webhook(c, webhook_id), words)


@blueprint.post("/webhooks/<int:webhook_id>/rotate")
@allow(Role.ADMIN, "webhook.rotate", prove=True)
def rotate(webhook_id: int) -> ResponseReturnValue:
    """Make another secret and show it, this once. For one day, messages are signed with the old one too."""
    secret = new_secret()
    with backend().database.write() as connection:
        if not webhook_store.rotate_secret(connection, webhook_id, secret, utc_now()):
            abort(404, UNKNOWN)
    return render_template("webhook_secret.html", webhook_id=webhook_id, secret=secret, is_new=False)


@blueprint.post("/webhooks/<int:webhook_id>/delete")
@allow(Role.ADMIN, "webhook.delete", prove=True)
def delete(webhook_id: int) -> ResponseReturnValue:
    """Delete a webhook with its deliveries."""
    with backend().database.write() as connection:
        if not webhook_store.delete_webhook(connection, webhook_id):
            abort(404, UNKNOWN)
    flash(f"Webhook {webhook_id} is deleted.", "good")
    return go_to("notices.show")


@blueprint.post("/webhooks/<int:webhook_id>/test")
@allow(Role.ADMIN, "webhook.test")
def test_webhook(webhook_id: int) -> ResponseReturnValue:
    """Let the leader send a test event to a webhook."""
    if _webhook_or_404(webhook_id).disabled_at:
        return refuse("The test was not sent: the webhook is disabled.", "notices.webhook", webhook_id=webhook_id)
    with backend().database.write() as connection:
        delivery_store.add_test(connection, webhook_id, utc_now())
    flash("The test event is being sent. Reload this page to see the answer.", "good")
    return go_to("notices.webhook", webhook_id=webhook_id)


@blueprint.get("/deliveries")
@allow(Role.ADMIN)
def deliveries() -> str:
    """Show deliveries, the newest first, filtered by state and receiver."""
    words, receiver, before = request.args.get("state", ""), _number("webhook"), _number("before")
    if words not in ("", *DeliveryState):
        abort(400, f"“{words}” is not a state of deliveries. Choose one of {', '.join(DeliveryState)}.")
    state = DeliveryState(words) if words else None
    found = delivery_store.page(backend().database, state, receiver, before, PAGE + 1)
    return render_template(
        "deliveries.html",
        states={state: state.capitalize() for state in DeliveryState},
        state=state or "",
        receiver=receiver,
        webhooks=webhook_store.all_webhooks(backend().database),
        first_page=before is None,
        next_before=found[PAGE - 1].delivery_id if len(found) > PAGE else None,
        **_table(found[:PAGE]),
    )


@blueprint.post("/deliveries/<int:delivery_id>/again")
@allow(Role.ADMIN, "delivery.repeat")
def send_again(delivery_id: int) -> ResponseReturnValue:
    """Send an ended delivery once more, under the same webhook-id."""
    with backend().database.write() as connection:
        is_due = delivery_store.send_again(connection, delivery_id, utc_now())
    if is_due:
        flash("It is being sent again. Reload this page to see the answer.", "good")
    else:
        flash("Not sent again: it waits already, or its webhook is disabled or deleted.", "error")
    return go_to("notices.deliveries")


def _number(name: str) -> int | None:
    """Return the row number of a parameter, None where there is none."""
    text = request.args.get(name, "")
    try:
        return row_number(text) if text else None
    except ValueError:
        abort(400, f"“{text}” is not a number of a row.")


def _targets() -> list[Target]:
    return targets_of(backend().settings.notify_urls, backend().database.install_id())


def _table(found: list[delivery_store.Delivery]) -> dict[str, object]:
    """Return what a table of deliveries shows beside them."""
    return {
        "found": found,
        "labels": {target.key: target.label for target in _targets()},
        "message_id": message_id,
    }


def _webhook_or_404(webhook_id: int) -> Webhook:
    with backend().database.read() as connection:
        return webhook_store.find_webhook(connection, webhook_id) or abort(404, UNKNOWN)


def _changed(webhook_id: int, write: Callable[[Transaction], bool], words: str) -> ResponseReturnValue:
    """Write a change of a webhook and lead back to its page."""
    with backend().database.write() as connection:
        if not write(connection):
            abort(404, UNKNOWN)
    flash(words, "good")
    return go_to("notices.webhook", webhook_id=webhook_id)


def _entered() -> EnteredWebhook:
    """Return what the form says about a webhook. Raises NotPossibleError with a sentence that names what is wrong."""
    url, events = request.form.get("url", "").strip(), request.form.getlist("events")
    description = one_line(request.form.get("description", ""), LONGEST_DESCRIPTION)
    kinds = tuple(kind for kind in OFFERED if kind in events)
    if not kinds:
        raise NotPossibleError("Choose one event or more.")
    try:
        endpoint = find_endpoint(url, backend().settings.webhook_allow)
    except AddressRefusedError as error:
        raise NotPossibleError(str(error)) from error
    return EnteredWebhook(url, endpoint.host, description, kinds)

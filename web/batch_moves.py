"""Pause, resume and stop a batch: shared by its page and by programs. No routes."""

from dataclasses import dataclass

from amounts import exceeds, money
from backend import Backend
from orders import Progress
from storage import batch_states, chunk_moves
from storage.batch_creation import Funds, OverBudgetError, resume_batch
from submission import price_objection
from web.recording import record_now

BY_HAND = "Paused by hand."
#: Seconds that resuming waits for the provider to name its prices.
RESUME_PATIENCE = 3.0


@dataclass(frozen=True, slots=True)
class Resumed:
    """What became of a request to resume a batch."""

    done: bool  #: whether it was paused, and runs now
    price: float  #: US dollars an IMEI, as the provider lists it now
    blocked: str = ""  #: why nothing may be ordered at all
    dearer: str = ""  #: why the price must be accepted first
    too_dear: str = ""  #: why the money does not suffice

    @property
    def objection(self) -> str:
        """The reason why it was not resumed; "" where there is none."""
        return self.blocked or self.dearer or (f"Not resumed. {self.too_dear}" if self.too_dear else "")


def pause_batch(backend: Backend, batch_id: int) -> bool:
    """Send no further call of a batch until it is resumed; return whether it was running."""
    with backend.database.write() as connection:
        done = batch_states.pause(connection, batch_id, BY_HAND)
        if done:
            record_now(connection)
    return done


def resume_at(backend: Backend, progress: Progress, accepted: float | None) -> Resumed:
    """Resume a batch. A price above its own is taken only up to the accepted one (US dollars); None takes any."""
    service = backend.catalog.for_confirmation(RESUME_PATIENCE).find(progress.service_id)
    price, balance = service.price if service else progress.unit_price, backend.account.current()
    funds = Funds(backend.daily_budget(), balance.credits if balance.trusted else None)
    if blocked := backend.order_objection():
        return Resumed(False, price, blocked=blocked)
    if accepted is not None and exceeds(price, max(accepted, progress.unit_price)):
        words = price_objection(progress.service_name, max(accepted, progress.unit_price), price)
        return Resumed(False, price, dearer=words)
    try:
        with backend.database.write() as connection:
            done = resume_batch(connection, progress.batch_id, price, funds)
            if done:
                record_now(connection, price=f"{money(progress.unit_price)} → {money(price)}")
            return Resumed(done, price)
    except OverBudgetError as error:
        return Resumed(False, price, too_dear=str(error))


def stop_batch(backend: Backend, batch_id: int) -> int:
    """Cancel the IMEIs of a batch that are not sent yet; return how many there were."""
    with backend.database.write() as connection:
        taken = chunk_moves.cancel_rest(connection, batch_id)
        record_now(connection, imeis=taken)
        return taken

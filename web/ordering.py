"""Turn a plan into a batch: shared by the preview and by the page for a few IMEIs. No routes."""

from backend import Backend
from storage.batch_creation import create_batch
from submission import Plan
from web.format import plural


def must_type(backend: Backend, plan: Plan) -> bool:
    """Return whether the user must type the number of IMEIs to confirm."""
    return plan.continues is None and plan.cost > backend.settings.confirm_above


def start_batch(backend: Backend, plan: Plan, label: str, source: str, token: str | None) -> int:
    """Create the batch of a plan, or continue the unfinished one; return its id. Raises OverBudgetError."""
    new = plan.batch(label, source, backend.settings.daily_budget, token)
    return create_batch(backend.database, new, backend.settings.chunk_size)


def started(plan: Plan, batch_id: int) -> str:
    """Return the message after a batch was created or continued."""
    if plan.continues is not None:
        return f"Batch {batch_id} continues where it stopped."
    return f"Batch {batch_id} has started: {plural(plan.count, 'IMEI')} to send."

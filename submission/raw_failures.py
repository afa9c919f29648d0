"""How a call failed, as a text in the database: what the loop needs to judge it in another process. Pure."""

import json

from gsm_fusion_client import GSMFusionAPIError, MaintenanceError, NotSentError, OutcomeUnknownError, RateLimitedError

#: The failures that placed nothing, by their names; any other may have placed orders.
PLACED_NOTHING = (NotSentError, MaintenanceError, RateLimitedError)
#: The failure of a call that was given back before it was sent.
HELD_BACK = json.dumps({"kind": "held back"})


def written_failure(error: GSMFusionAPIError) -> str:
    """Return a failure as a text."""
    fields = {"kind": type(error).__name__, "words": str(error), "raw": error.raw}
    return json.dumps({**fields, "retry_after": error.retry_after, "status": error.status})


def read_failure(text: str) -> GSMFusionAPIError:
    """Return the failure that a text describes."""
    fields = json.loads(text)
    kinds = {kind.__name__: kind for kind in PLACED_NOTHING}
    kind = kinds.get(fields["kind"], OutcomeUnknownError)
    return kind(fields["words"], raw=fields["raw"], retry_after=fields["retry_after"], status=fields["status"])

"""Short time limits for connections."""

import web_worker

PATIENCE = 2.0  #: seconds


def short_timeouts() -> None:
    """Let the workers of this process wait that long for a client."""
    web_worker.PATIENCE = PATIENCE

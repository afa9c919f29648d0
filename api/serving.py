"""Registers the API in the app: its operations, its limits, and the headers of its answers."""

from functools import cache, partial

from flask import Flask, Response, g, request

from api.account import blueprint as account
from api.batches import blueprint as batches
from api.checks import blueprint as checks
from api.contents import blueprint as contents
from api.document import make_document
from api.exports import blueprint as exports
from api.operations import PREFIX
from api.orders import blueprint as orders
from api.problems import Problem, ProblemKind
from api.rate_limit import RateLimit
from api.reference import DOCUMENT
from api.reference import blueprint as reference
from web import find_actor

#: The groups of operations, in the order of the document.
OPERATIONS = (batches, contents, checks, orders, exports, account)


def init_api(app: Flask) -> None:
    """Serve the API under /api/v1."""
    for blueprint in (*OPERATIONS, reference):
        app.register_blueprint(blueprint)
    app.extensions[DOCUMENT] = cache(partial(make_document, app, OPERATIONS))
    limit = RateLimit()
    app.before_request(partial(_count, limit))
    app.after_request(_complete)


def _count(limit: RateLimit) -> None:
    """Count a request of a token; refuse one too many."""
    actor = find_actor()
    if actor is None or not request.path.startswith(PREFIX):
        return
    g.allowance = limit.count(actor.token_id)
    if g.allowance.left < 0:
        words = f"This token has sent too many requests. Wait {g.allowance.resets_in} seconds."
        raise Problem(ProblemKind.RATE_LIMITED, words, retry_after=g.allowance.resets_in)


def _complete(response: Response) -> Response:
    """Add what is left of the limit, and answer 304 to a client that has this answer already."""
    if not request.path.startswith(PREFIX):
        return response
    if "allowance" in g:
        response.headers.update(g.allowance.headers())
    if request.method in ("GET", "HEAD") and response.status_code == 200 and response.is_json:
        response.add_etag()
        response.make_conditional(request)
    return response

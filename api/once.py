"""The same answer to the same request: the header Idempotency-Key of requests that order.

A refused request leaves no trace, so its key can be used again.
"""

import hashlib
import json
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from flask import jsonify, request
from flask.typing import ResponseReturnValue

from api.problems import Problem, ProblemKind
from backend import backend
from database import Transaction
from storage import idempotency_store
from storage.idempotency_store import KeyInUseError, KeyReusedError, RequestKey
from web import current_actor, record_nothing

HEADER = "Idempotency-Key"
#: How the document describes it.
KEY_HEADER = {
    "name": HEADER,
    "in": "header",
    "description": "The same key and body again get the same answer, and nothing is ordered a second time.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
#: Seconds after which a client may repeat a request whose first one is not finished.
REPEAT_AFTER = 1


@dataclass(frozen=True, slots=True)
class KeptReply:
    """An answer that can be given again."""

    status: int
    location: str
    body: dict[str, Any]


#: Stores the reply in the transaction that creates the batch.
Keep = Callable[[Transaction, int | None, KeptReply], None]


def reply_once(asked: object, work: Callable[[Keep], KeptReply]) -> ResponseReturnValue:
    """Return the reply that work makes, or the one that the same request got before.

    asked: everything that the request asks for; its repr tells requests apart. work calls keep exactly once.
    """
    key = _key(asked)
    if key is None:
        return _response(work(lambda connection, batch_id, reply: None))
    try:
        stored = idempotency_store.claim(backend().database, key)
        if stored is not None:
            record_nothing()
            return _response(KeptReply(**json.loads(stored)), is_repeated=True)
        return _response(_work_on(key, work))
    except KeyReusedError as error:
        raise Problem(ProblemKind.KEY_REUSED, "This key came with another request before.") from error
    except KeyInUseError as error:
        words = "The first request with this key is still worked on."
        raise Problem(ProblemKind.KEY_IN_USE, words, retry_after=REPEAT_AFTER) from error


def _work_on(key: RequestKey, work: Callable[[Keep], KeptReply]) -> KeptReply:
    def keep(connection: Transaction, batch_id: int | None, reply: KeptReply) -> None:
        idempotency_store.bind(connection, key, batch_id, json.dumps(asdict(reply)))

    with ExitStack() as undo:
        undo.callback(idempotency_store.release, backend().database, key)
        reply = work(keep)
        undo.pop_all()
    return reply


def _key(asked: object) -> RequestKey | None:
    given = request.headers.get(HEADER)
    if given is None:
        return None
    if not re.fullmatch(r"[!-~]{1,255}", given):
        errors = [{"detail": "It must be 1 to 255 visible ASCII characters.", "header": HEADER}]
        raise Problem(ProblemKind.INVALID_REQUEST, f"The header {HEADER} is not valid.", errors)
    digest = hashlib.sha256(f"{request.path} {asked!r}".encode()).hexdigest()
    return RequestKey(f"token {current_actor().token_id}", given, digest)


def _response(reply: KeptReply, is_repeated: bool = False) -> ResponseReturnValue:
    answer = jsonify(reply.body)
    answer.status_code = reply.status
    answer.headers["Location"] = reply.location
    if is_repeated:
        answer.headers["Idempotent-Replayed"] = "true"
    return answer

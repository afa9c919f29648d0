"""Files in answers: their types of content, and the answer about one that is being built. No routes."""

from flask import jsonify, url_for
from flask.typing import ResponseReturnValue

from api.answers import ExportAnswer
from web import XLSX, Export

BINARY = {"type": "string", "format": "binary"}
#: The content types of files, with their schemas.
FILES = {"text/csv": BINARY, "text/plain": BINARY, XLSX: BINARY}
#: Seconds after which a client may ask for the state of an export again.
ASK_AGAIN = 2


def accepted(export: Export) -> ResponseReturnValue:
    """Return the answer about a file that is being built."""
    headers = {"Location": url_for("api_exports.show", export_id=export.token), "Retry-After": str(ASK_AGAIN)}
    return jsonify(ExportAnswer().dump(export)), 202, headers

"""Change the name, customer and note of a batch."""

from dataclasses import astuple

from flask import Blueprint, flash, request
from flask.typing import ResponseReturnValue

from backend import backend
from people import Role
from storage.batch_names import rename_batch
from web.access import allow, describe
from web.batch_fields import names_from
from web.context import batch_or_404
from web.redirects import go_to

blueprint = Blueprint("batch_names", __name__, url_prefix="/batches")


@blueprint.post("/<int:batch_id>/names")
@allow(Role.OPERATOR, "batch.rename")
def rename(batch_id: int) -> ResponseReturnValue:
    """Change what a batch is called."""
    before = batch_or_404(batch_id)
    names = names_from(request.form, before.names)
    rename_batch(backend().database, batch_id, names)
    describe(old=" · ".join(astuple(before.names)), new=" · ".join(astuple(names)))
    flash("Batch details saved.", "good")
    return go_to("batches.live", batch_id=batch_id)

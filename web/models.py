"""The tab Models of the settings: which TACs are known, a search for one, and the import of a list."""

from flask import Blueprint, flash, render_template, request
from flask.typing import ResponseReturnValue

from backend import backend
from devices import brand_of
from people import Role
from spreadsheets import UnreadableFileError, read_tacs
from storage.model_store import (
    TAC,
    TacRow,
    forget_imported,
    import_models,
    imported_row,
    models_of,
    named_models,
    tac_counts,
)
from web.access import allow, describe
from web.batch_fields import one_line
from web.context import at_one_moment
from web.format import plural
from web.redirects import go_to, refuse

blueprint = Blueprint("models", __name__, url_prefix="/settings/models")

#: Row numbers that a message names of each reason.
ROWS_NAMED = 5


@blueprint.get("")
@allow(Role.ADMIN)
@at_one_moment
def show() -> ResponseReturnValue:
    """Show how many TACs are known, and with ?q= what is known of one: a TAC, or an IMEI that begins with it."""
    asked = "".join(filter(str.isdecimal, request.args.get("q", "")))
    tac = asked[:TAC] if len(asked) >= TAC else ""
    database = backend().database
    return render_template(
        "models.html",
        q=request.args.get("q", "")[:40],
        tac=tac,
        found=models_of(database, [tac]).get(tac) if tac else None,
        named=named_models(database, tac) if tac else (),
        imported=imported_row(database, tac) if tac else None,
        counts=tac_counts(database),
        brand_of=brand_of,
    )


@blueprint.post("/import")
@allow(Role.ADMIN, "models.import")
def import_list() -> ResponseReturnValue:
    """Import a list of TACs, and show what became of its rows."""
    file = request.files.get("file")
    name = one_line(file.filename or "") if file else ""
    if file is None or not name:
        return refuse("Choose a file with TACs.", "models.show")
    try:
        rows, failures = _read(file.read())
    except UnreadableFileError as error:
        return refuse(f"Not imported: {error}", "models.show")
    if not rows:
        _name_failures(failures)
        return refuse("Not imported: no row of the file has a TAC with a model or a brand.", "models.show")
    done = import_models(backend().database, rows)
    failed = sum(map(len, failures.values()))
    known = done.new + done.changed + done.unchanged
    counts = {"new": done.new, "changed": done.changed, "unchanged": done.unchanged, "not valid": failed}
    repeated = len(rows) - known
    counts |= {"repeated in the file": repeated} if repeated else {}
    words = ", ".join(f"{count:,} {what}" for what, count in counts.items())
    describe(name, rows=words)
    flash(f"{plural(known, 'TAC')} read from {name}: {words}.", "good")
    _name_failures(failures)
    return go_to("models.show")


@blueprint.post("/forget")
@allow(Role.ADMIN, "models.forget")
def forget() -> ResponseReturnValue:
    """Delete the imported list. What own results say stays."""
    count = forget_imported(backend().database)
    describe(tacs=count)
    flash(f"{plural(count, 'imported TAC')} deleted.", "good")
    return go_to("models.show")


def _read(data: bytes) -> tuple[list[TacRow], dict[str, list[int]]]:
    """Return the lines of a file, and for each reason the numbers of the rows that are left out."""
    rows, failures = list[TacRow](), dict[str, list[int]]()
    for line in read_tacs(data):
        if line.failure:
            failures.setdefault(line.failure, []).append(line.number)
        else:
            rows.append(TacRow(line.tac, line.brand, line.model))
    return rows, failures


def _name_failures(failures: dict[str, list[int]]) -> None:
    for reason, rows in sorted(failures.items(), key=lambda failure: -len(failure[1])):
        more = f" and {len(rows) - ROWS_NAMED:,} more" if len(rows) > ROWS_NAMED else ""
        flash(f"{plural(len(rows), 'row')} left out (row {', '.join(map(str, rows[:ROWS_NAMED]))}{more}): {reason}")

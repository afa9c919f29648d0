"""The fields of a form that name a batch: name, customer and note. No routes."""

from collections.abc import Mapping

from orders import BatchNames

#: Characters of a name or a customer, and of a note.
LONGEST_NAME, LONGEST_NOTE = 100, 1000


def names_from(form: Mapping[str, str], before: BatchNames) -> BatchNames:
    """Return the names that a form gives. A blank name, and what the form does not hold, stay as before."""
    name = one_line(form.get("name", ""))
    note = "\n".join(one_line(line, LONGEST_NOTE) for line in form.get("note", before.note).splitlines())
    return BatchNames(
        name=name or before.name,
        customer=one_line(form.get("customer", before.customer)),
        note=note.strip()[:LONGEST_NOTE],
    )


def one_line(text: str, longest: int = LONGEST_NAME) -> str:
    """Return a text on one line, without characters that would break a header."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:longest]

"""Find the titles of an earlier download in a row of titles. Pure."""

from collections.abc import Sequence


def find_titles(row: Sequence[object], titles: Sequence[str]) -> int | None:
    """Return the place, from 0, where these titles are side by side in a row; None where they are not."""
    found = ["" if cell is None else str(cell).strip() for cell in row]
    wanted = list(titles)
    return next((at for at in range(len(found) - len(wanted), -1, -1) if found[at : at + len(wanted)] == wanted), None)

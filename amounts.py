"""Amounts in US dollars: how they are written, and how they are compared. Pure functions; imports nothing of ours."""

#: Half a hundredth of a cent: sums of float prices are compared with this tolerance, in US dollars.
TOLERANCE = 0.00005


def money(value: float | None) -> str:
    """US dollars with cents, and with up to four decimals where the cents would lie: $1,234.50, $0.085."""
    if value is None:
        return "–"
    text = f"{abs(value):,.4f}"
    while text.endswith("0") and text[-3] != ".":
        text = text[:-1]
    return f"-${text}" if value < 0 else f"${text}"


def exceeds(amount: float, limit: float) -> bool:
    """Return whether an amount is more than a limit, by more than sums of floats are off."""
    return amount > limit + TOLERANCE

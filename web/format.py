"""Format numbers, money, times and states for pages. Pure functions, registered as template filters."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from amounts import money as money
from amounts import plural as plural
from devices import STATE_OF
from orders import BatchStage, ChunkState, Outcome, Progress, is_awaited
from results import SyncReport, audit_sentences
from storage.batch_doubt import Settled
from storage.order_queries import Day
from storage.rows import EarlierOrder, Order

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: Letters of the chunk map, which live.js decodes.
LETTERS: dict[str, str] = {
    ChunkState.PLANNED: "p",
    ChunkState.SENDING: "s",
    ChunkState.ANSWERED: "a",
    ChunkState.IN_DOUBT: "d",
    ChunkState.CANCELLED: "c",
}
CELLS = str.maketrans({letter: f'<i class="{state}"></i>' for state, letter in LETTERS.items()})
FINDING_CLASSES: dict[str, str] = {
    "Locked": "bad",
    "ON": "bad",
    "Blacklisted": "bad",
    "Unlocked": "good",
    "OFF": "good",
    "Clean": "good",
}
MINUTE, HOUR, DAY = 60, 3600, 86_400
CHART_WIDTH, CHART_HEIGHT = 560, 72


def number(value: float | int | None) -> str:
    """Format a number: 1234567 → 1,234,567; None → –."""
    return "–" if value is None else f"{value:,.0f}"


def size(value: float) -> str:
    """Format a number of bytes in the largest fitting unit."""
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"


def as_utc(value: datetime | float | str | None) -> datetime | None:
    """Return the UTC time of a table value (UTC without a zone) or a Unix time; None for an empty value."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return datetime.fromtimestamp(value, UTC) if value else None


def when(value: datetime | float | str | None) -> Markup:
    """Return a <time> element in UTC. The page's script converts it to the reader's time zone."""
    moment = as_utc(value)
    if moment is None:
        return Markup('<span class="none">–</span>')
    text = moment.isoformat(" ", "seconds")  # strftime() takes five times as long
    day, clock, month = text[:10], text[11:19], MONTHS[moment.month - 1]
    return Markup(  # noqa: S704  # only digits and the name of a month
        f'<time datetime="{day}T{clock}Z" title="{day} {clock} UTC">{day[8:]} {month} {day[:4]} {clock[:5]} UTC</time>'
    )


def moment(value: datetime | float | str | None) -> str:
    """Format a time in UTC with seconds, as the tooltip of an age."""
    found = as_utc(value)
    return f"{found:%Y-%m-%d %H:%M:%S} UTC" if found else ""


def ago(value: datetime | float | str | None, now: datetime | None = None) -> str:
    """Format the age of a time in one unit."""
    moment = as_utc(value)
    if moment is None:
        return "never"
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    if seconds < MINUTE:
        return "just now"
    return f"{duration(seconds)} ago"


def duration(seconds: float | None) -> str:
    """Format a duration in one unit: 40 s, 3 min, 2 h, 5 days."""
    if seconds is None:
        return "–"
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    if seconds < HOUR:
        return f"{seconds / MINUTE:.0f} min"
    if seconds < 2 * DAY:
        return f"{seconds / HOUR:.0f} h"
    return f"{seconds / DAY:.0f} days"


def sentence(words: str) -> str:
    """Return a text with a capital first letter and a full stop."""
    words = words.strip()
    return words[:1].upper() + words[1:] + ("" if not words or words[-1] in ".!?…" else ".")


def status_class(status: str | None) -> str:
    """Return the CSS class of an order's status."""
    return "status-" + (status or "unknown").lower().replace(" ", "-")


def result_words(order: Order | EarlierOrder) -> str:
    """Return the result of an order in a line: its findings, else the beginning of its text, else its status."""
    names = (("fmi", "FMI "), ("blacklist", ""))
    found = [order.model, order.carrier, order.simlock]
    found += [f"{before}{value}" for name, before in names if (value := getattr(order, name))]
    text = " ".join(order.words.split())
    return " · ".join(filter(None, found)) or text or order.status or "no result"


def batch_title(batch: Progress) -> str:
    """Return the title of the page of a batch: how far it is, or that it needs a person, before its number."""
    words = {
        BatchStage.SENDING: f"{batch.percent} % ordered",
        BatchStage.WAITING: f"{batch.result_percent} % results",
        BatchStage.NEEDS_YOU: BatchStage.NEEDS_YOU.label,
    }.get(batch.stage, "")
    return " · ".join(filter(None, (words, f"Batch {batch.batch_id}")))


def percent(part: float, whole: float) -> str:
    """Return the share of a part: "<1 %" for little, 100 only for all of it."""
    if not part or not whole:
        return "0 %"
    share = 100 * part / whole + 1e-9  # the order of its parts changes the last digit of a sum of dollars
    return "<1 %" if share < 1 else f"{math.floor(share)} %"


def stop_words(batch: Progress, planned: int) -> str:
    """Return the question before a batch is stopped. planned is the number of IMEIs that are not sent yet."""
    ordered = batch.outcomes[Outcome.ORDERED]
    sentences = [f"{ordered:,} already ordered, {money(batch.spent)} paid."]
    if doubtful := batch.outcomes[Outcome.IN_DOUBT]:
        sentences.append(f"{doubtful:,} in doubt, which may have cost {money(batch.at_stake)}.")
    if flying := batch.outcomes[Outcome.WAITING] - planned:
        sentences.append(f"{flying:,} being sent now; these cannot be stopped.")
    if not planned:
        return " ".join([*sentences, "There is nothing else to stop."])
    others = f"the other {planned:,}" if batch.total > planned else f"all {planned:,}"
    return " ".join([*sentences, f"Stop {others} and save {money(planned * batch.unit_price)}?"])


def finding_class(value: str, name: str) -> str:
    """Return the CSS class of a finding (SIM lock, Find My, blacklist): good, bad, or unsure."""
    return FINDING_CLASSES.get(STATE_OF[name](value), "unsure")


def synced(report: SyncReport | None) -> str:
    """Return a sentence about the last result sync, or "" before the first."""
    if report is None:
        return ""
    if not report.asked and not report.error:
        return f"Results last requested {ago(report.at)}: no orders were pending."
    brought = f"{report.updated:,} of {plural(report.asked, 'order')} updated, {report.pending:,} still pending"
    return f"Results last requested {ago(report.at)}: {brought}." + (f" {report.error}" if report.error else "")


def settled_words(settled: Settled) -> str:
    """Return how many IMEIs of a batch were in doubt and are settled, or "" if there were none."""
    parts = (
        (settled.found, "found in the provider's list and recorded"),
        (settled.sent_again, "not placed, sent again and ordered"),
        (settled.existed, "ordered before, so not charged now"),
        (settled.not_placed, "not placed and cancelled"),
        (settled.named, "recorded by hand"),
    )
    found = ", ".join(f"{count:,} {words}" for count, words in parts if count)
    return f"{plural(settled.total, 'IMEI was', 'IMEIs were')} in doubt and settled: {found}" if found else ""


def chunk_cells(letters: str) -> Markup:
    """Return the chunk map as HTML elements; there can be thousands."""
    return Markup(letters.translate(CELLS))  # noqa: S704  # only letters of LETTERS


def bars(
    days: Sequence[Day], amount: Callable[[Day], float], form: str = "%a %d %b", height: int = CHART_HEIGHT
) -> list[dict[str, Any]]:
    """Return the bars of a chart: x, y, width and height in SVG units, and a title each, which begins with the day."""
    most = max((amount(day) for day in days), default=0) or 1
    slot = CHART_WIDTH / max(len(days), 1)
    return [
        {
            "x": round(i * slot + slot * 0.14, 1),
            "y": round(height - _height(amount(day) / most, height), 1),
            "width": round(slot * 0.72, 1),
            "height": round(_height(amount(day) / most, height), 1),
            "middle": round(i * slot + slot / 2, 1),
            "day": day.day,
            "empty": not amount(day),
            "title": f"{day.day:{form}}: {plural(day.orders, 'order')}, {money(day.spent)}",
        }
        for i, day in enumerate(days)
    ]


def _height(share: float, whole: int) -> float:
    return max(1.5, (whole - 4) * share)


def template_filters() -> dict[str, Any]:
    """Return the template filters by name."""
    return {
        "number": number,
        "money": money,
        "size": size,
        "when": when,
        "ago": ago,
        "moment": moment,
        "duration": duration,
        "plural": plural,
        "sentence": sentence,
        "outcome_label": lambda outcome: Outcome(outcome).label,
        "outcome_hint": lambda outcome: Outcome(outcome).hint,
        "chunk_cells": chunk_cells,
        "batch_title": batch_title,
        "percent": percent,
        "finding_class": finding_class,
        "status_class": status_class,
        "is_awaited": is_awaited,
        "result_words": result_words,
        "synced": synced,
        "audit_sentences": audit_sentences,
    }

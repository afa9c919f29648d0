"""What the IMEIs of an upload are: phones by brand and model, as far as their TACs tell. No routes."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend import backend
from devices import brand_of, brands_of_service, fits
from spreadsheets import Intake
from storage.model_store import TAC, PhoneModel, models_of
from submission import Again
from web.format import plural

#: Beginnings of nouns that sound like a vowel.
AN = re.compile(r"[AEIaei]|O(?!ne)|Honor|HTC|HMD|L[GM]|(?:SM|XT|RMX)-?[A-Z0-9]")
#: The model of an IMEI whose TAC is not known.
UNKNOWN = PhoneModel("", "", "", 0, 0)


@dataclass(frozen=True, slots=True)
class ModelCount:
    """How many IMEIs are of one model."""

    model: str
    count: int
    results: int  #: own results that name it for their TACs; 0: an imported list does
    of_all: int  #: own results that name any model for these TACs

    @property
    def source(self) -> str:
        """How the model is known."""
        return known_from(self.results, self.of_all) or "imported list"


@dataclass(frozen=True, slots=True)
class BrandPart:
    """The IMEIs of one brand."""

    brand: str  #: "" where it is unknown
    imeis: tuple[tuple[str, int | None], ...]  #: with their source rows
    models: tuple[ModelCount, ...]  #: the most frequent first

    @property
    def count(self) -> int:
        """How many IMEIs there are."""
        return len(self.imeis)

    @property
    def label(self) -> str:
        """What a person calls these phones."""
        is_iphone = self.brand == "Apple" and all("iphone" in one.model.lower() for one in self.models)
        return "iPhone" if is_iphone else self.brand or "unknown"


def chosen_imeis(intake: Intake, choice: Mapping[str, Any]) -> list[tuple[str, int | None]]:
    """Return the IMEIs of an upload that may be sent by its options, with their rows."""
    chosen = [*intake.ready, *intake.luhn_failed] if choice.get("include_luhn") else intake.ready
    return [(ready.imei, ready.row) for ready in chosen]


def asked_again(choice: Mapping[str, Any]) -> Again:
    """Return which IMEIs of earlier orders the options of an upload send a second time."""
    return Again(bool(choice.get("recheck")), bool(choice.get("resend_rejected")))


def parts_of(imeis: Sequence[tuple[str, int | None]]) -> tuple[BrandPart, ...]:
    """Return these IMEIs by brand: the largest part first, unknown ones last."""
    known = models_of(backend().database, (imei for imei, _ in imeis))
    by_brand: dict[str, list[tuple[str, int | None]]] = defaultdict(list)
    for pair in imeis:
        by_brand[known.get(pair[0][:TAC], UNKNOWN).brand].append(pair)
    parts = [BrandPart(brand, tuple(pairs), _models(pairs, known)) for brand, pairs in by_brand.items()]
    return tuple(sorted(parts, key=lambda part: (not part.brand, -part.count, part.brand)))


def models_in(parts: Iterable[BrandPart]) -> list[ModelCount]:
    """Return the models of all parts, the most frequent first."""
    return sorted((one for part in parts for one in part.models), key=lambda one: (-one.count, one.model))


def misfits(parts: Iterable[BrandPart], title: str) -> tuple[BrandPart, ...]:
    """Return the parts of other brands than those that the service of this title is for."""
    return tuple(part for part in parts if not fits(part.brand, title))


def misfit_words(parts: Sequence[BrandPart], title: str) -> str:
    """Return the warning about IMEIs of other brands than those of the service; "" for none."""
    if not parts:
        return ""
    count = sum(part.count for part in parts)
    if len(parts) == 1:
        phone = "iPhone" if parts[0].label == "iPhone" else f"{parts[0].label} phone"
        what = f"1 IMEI is {article(phone)}" if count == 1 else f"{count:,} IMEIs are {phone}s"
    else:
        brands = ", ".join(f"{part.count:,} {part.label}" for part in parts)
        what = f"{plural(count, 'IMEI')} are phones of other brands ({brands})"
    return f"{what}. {service_words(title)} The provider will probably reject them."


def article(noun: str) -> str:
    """Return a noun with its article."""
    return f"{'an' if AN.match(noun) else 'a'} {noun}"


def known_from(results: int, of_all: int) -> str:
    """Return how many own results name a model, such as "214 of 220 results"; "" for none."""
    most = "" if results == of_all else f"{results:,} of "
    return f"{most}{plural(of_all, 'result')}" if results else ""


def model_words(found: PhoneModel) -> str:
    """Return what a phone is and how we know, such as "Samsung Galaxy S21 (known from 214 of 220 results)"."""
    is_said = not found.brand or brand_of(found.model) == found.brand
    name = found.model if is_said else f"{found.brand} {found.model}".strip()
    own = known_from(found.results, found.of_all)
    return f"{name} ({'known from ' + own if own else 'from the imported list'})"


def service_words(title: str) -> str:
    """Return the sentence that says whose phones a service is for."""
    return f"This service is for {' and '.join(sorted(brands_of_service(title)))}."


def _models(imeis: Iterable[tuple[str, int | None]], known: Mapping[str, PhoneModel]) -> tuple[ModelCount, ...]:
    counts = Counter(known[imei[:TAC]] for imei, _ in imeis if imei[:TAC] in known)
    models: dict[str, ModelCount] = {}
    for found, count in counts.items():
        if found.model:
            before = models.get(found.model, ModelCount(found.model, 0, 0, 0))
            results, of_all = before.results + found.results, before.of_all + found.of_all
            models[found.model] = ModelCount(found.model, before.count + count, results, of_all)
    return tuple(sorted(models.values(), key=lambda one: (-one.count, one.model)))

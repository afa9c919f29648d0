"""What axe finds on one page after the other. The contrast of text that looks the same everywhere is measured once.

Contrast is what axe takes longest for: three quarters of its time on a page.
"""

from collections.abc import Iterator
from typing import Any, Literal

from playwright.sync_api import Page, ViewportSize

DESK: ViewportSize = {"width": 1280, "height": 720}
PHONE: ViewportSize = {"width": 390, "height": 844}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
#: It reports violations only, and no rule needs what it would load beforehand.
ONLY = {"resultTypes": ["violations"], "preload": False}
#: The names that a small window may hide.
NAMES = {"runOnly": {"type": "tag", "values": ["cat.name-role-value"]}, **ONLY}
ALL_BUT_CONTRAST = {"rules": {"color-contrast": {"enabled": False}}, **ONLY}
#: Of the rows that differ in words and numbers only, leave the first: axe would take seconds for a hundred of them.
LEAVE_ONE_OF_A_KIND = """() => {
    for (const list of document.querySelectorAll("tbody, ul, ol")) {
        const kinds = new Set();
        for (const row of [...list.children]) {
            const bare = row.outerHTML.replace(/>[^<]+</g, "><").replace(/\\d+/g, "1");
            const kind = bare.replace(/ (title|href|value|aria-label|datetime|data-[\\w-]+)="[^"]+"/g, " $1");
            if (kinds.has(kind)) row.remove();
            kinds.add(kind);
        }
    }
}"""
RUN = "rules => axe.run(rules).then(({ violations }) => violations)"
#: The look of a text is its color and font, and all that has a background or is translucent and shares its place: what
#: is around it, beside it, over or below it. Texts whose look has passed are left out, as are those that axe could not
#: judge (an access key is too short for it) where markup and look are the same.
MEASURE_CONTRAST = """async known => {
    const styles = new Map([...document.querySelectorAll("body, body *")].map((one) => [one, getComputedStyle(one)]));
    const grounds = [];
    for (const [one, { backgroundColor, backgroundImage, opacity }] of styles) {
        const kind = [backgroundColor, backgroundImage, opacity].join();
        if (kind !== "rgba(0, 0, 0, 0),none,1") grounds.push([one, kind, one.getBoundingClientRect()]);
    }
    const touch = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    const lookOf = (one) => {
        const { color, fontSize, fontWeight, textShadow } = styles.get(one), box = one.getBoundingClientRect();
        const near = grounds.filter(([other, , place]) => other.contains(one) || touch(box, place));
        return [color, fontSize, fontWeight, textShadow, ...near.map(([, kind]) => kind)].join(";");
    };
    const markup = (one) => one.outerHTML.replace(/\\d+/g, "1");
    const hasText = (one) => [...one.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    const isText = (one) => one.matches("input:not([type=checkbox], [type=radio], [type=hidden]), select, textarea")
        || !one.matches("option, script, template") && hasText(one);
    const texts = [...styles.keys()].filter((one) => isText(one) && one.checkVisibility());
    const looks = new Map(texts.map((one) => [one, lookOf(one)]));
    const isNew = (one) => !known.includes(looks.get(one)) && !known.includes(looks.get(one) + markup(one));
    const include = texts.filter(isNew);
    if (!include.length) return { violations: [], learned: [] };
    const { violations, passes } = await axe.run({ include }, {
        runOnly: ["color-contrast"], resultTypes: ["violations", "passes"], elementRef: true, preload: false });
    const [wrong, right] = [violations, passes].map((rules) => rules.flatMap((rule) => rule.nodes));
    const learned = new Set(right.map(({ element }) => looks.get(element)).filter(Boolean));
    const judged = new Set([...wrong, ...right].map(({ element }) => element));
    for (const one of include) if (!judged.has(one)) learned.add(looks.get(one) + markup(one));
    return { violations: violations.map(({ id }) => ({ id, nodes: wrong.map(({ html }) => ({ html })) })),
        learned: [...learned] };
}"""


class AxeWalk:
    """A walk with axe over pages of a window that has run AXE_SCRIPT: on a phone, then on a desk in light and dark."""

    def __init__(self) -> None:
        self._known: dict[str, list[str]] = {scheme: [] for scheme in SCHEMES}  #: looks of texts, see MEASURE_CONTRAST

    def violations(self, page: Page) -> Iterator[str]:
        """Yield what axe finds on a page that is as wide as a phone; afterwards it is so again."""
        page.evaluate(LEAVE_ONE_OF_A_KIND)
        yield from _described("phone", page.evaluate(RUN, NAMES))
        page.set_viewport_size(DESK)
        yield from _described("desk", page.evaluate(RUN, ALL_BUT_CONTRAST))
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            yield from _described(scheme, self._contrast(page, scheme))
        page.emulate_media(color_scheme=SCHEMES[0])
        page.set_viewport_size(PHONE)

    def _contrast(self, page: Page, scheme: str) -> list[dict[str, Any]]:
        found = page.evaluate(MEASURE_CONTRAST, self._known[scheme])
        self._known[scheme] += found["learned"]
        violations: list[dict[str, Any]] = found["violations"]
        return violations


def _described(where: str, violations: list[dict[str, Any]]) -> Iterator[str]:
    for violation in violations:
        yield from (f"{where}: {violation['id']}: {node['html'][:200]}" for node in violation["nodes"])

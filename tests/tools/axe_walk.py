"""What axe finds on one page after the other, and ids that are repeated.

The contrast of text that looks the same everywhere is measured once. Contrast is what axe takes longest for: three
quarters of its time on a page.
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
EVERY_RULE: dict[str, Any] = ONLY
CONTRAST = {"runOnly": ["color-contrast"], **ONLY}
#: The ids that more than one element has: axe no longer looks for them.
REPEATED_IDS = """() => {
    const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
    return [...new Set(ids.filter((id, place) => ids.indexOf(id) < place))];
}"""
#: Of the rows that differ in words and numbers only, leave the first: axe would take seconds for a hundred of them.
LEAVE_ONE_OF_A_KIND = """() => {
    for (const list of document.querySelectorAll("tbody, ul, ol, select, optgroup, datalist")) {
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
#: judge (an access key is too short for it) where markup and look are the same. The other rules look at everything.
RUN_WITH_CONTRAST = """async ({ rules, known }) => {
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
    const looks = new Map(texts.map((one) => [one, lookOf(one)])), passed = new Set(known);
    const isNew = (one) => !passed.has(looks.get(one)) && !passed.has(looks.get(one) + markup(one));
    const fresh = texts.filter(isNew);
    if (rules.runOnly && !fresh.length) return { violations: [], learned: [] };
    axe.configure({ rules: [{ id: "color-contrast", selector: "[data-fresh-look]" }] });
    for (const one of fresh) one.setAttribute("data-fresh-look", "");
    const found = await axe.run({ ...rules, reporter: (results, _, done) => done(results) });
    for (const one of fresh) one.removeAttribute("data-fresh-look");
    const contrast = found.find(({ id }) => id === "color-contrast");
    const [wrong, right] = [contrast.violations, contrast.passes].map((nodes) => nodes.map(({ node }) => node.element));
    const judged = new Set([...wrong, ...right]), learned = new Set(right.map((one) => looks.get(one)));
    for (const one of fresh) if (!judged.has(one)) learned.add(looks.get(one) + markup(one));
    const violations = found.map(({ id, violations }) =>
        ({ id, nodes: violations.map(({ node }) => ({ html: node.element.outerHTML })) }));
    return { violations, learned: [...learned] };
}"""
#: A page without a box takes no time to be laid out again in another size and scheme.
HIDE = "document.documentElement.style.display = 'none'"


class AxeWalk:
    """A walk with axe over pages of a window that has run AXE_SCRIPT: on a phone, then on a desk in light and dark."""

    def __init__(self) -> None:
        self._known: dict[str, list[str]] = {scheme: [] for scheme in SCHEMES}  #: looks of texts

    def violations(self, page: Page) -> Iterator[str]:
        """Yield what axe finds on a page that is as wide as a phone; the next page is loaded so again."""
        yield from (f"phone: repeated-id: {repeated}" for repeated in page.evaluate(REPEATED_IDS))
        page.evaluate(LEAVE_ONE_OF_A_KIND)
        yield from _described("phone", page.evaluate(RUN, NAMES))
        page.set_viewport_size(DESK)
        yield from _described("desk", self._run(page, EVERY_RULE, "light"))
        page.emulate_media(color_scheme="dark")
        yield from _described("dark", self._run(page, CONTRAST, "dark"))
        page.evaluate(HIDE)
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(PHONE)

    def _run(self, page: Page, rules: dict[str, Any], scheme: str) -> list[dict[str, Any]]:
        found = page.evaluate(RUN_WITH_CONTRAST, {"rules": rules, "known": self._known[scheme]})
        self._known[scheme] += found["learned"]
        violations: list[dict[str, Any]] = found["violations"]
        return violations


def _described(where: str, violations: list[dict[str, Any]]) -> Iterator[str]:
    for violation in violations:
        yield from (f"{where}: {violation['id']}: {node['html'][:200]}" for node in violation["nodes"])

"""What axe finds on a page: the faults that keep people out, quickly.

Contrast is nine tenths of axe's time, and grows with each text of a page.
"""

from collections.abc import Sequence
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_SCRIPT = Axe().axe_script
#: Drawn from one template each time; the first ones show what all of them look like.
_REPEATED = [
    "tbody > tr:nth-child(n+6)",
    "ol > li:nth-child(n+6)",
    ".rows > li:nth-child(n+6)",
    "article:nth-of-type(n+4)",
]
#: A rule has one impact: those that can't be bad would take a quarter of the time.
_BAD_RULES = """excluded => {
    const rules = {};
    for (const rule of axe._audit.rules)
        if (!["serious", "critical"].includes(rule.impact)) rules[rule.id] = {enabled: false};
    const exclude = excluded.map(selector => [selector]);
    return axe.run({include: [["html"]], exclude}, {resultTypes: ["violations"], rules})
        .then(found => found.violations);
}"""


def faults(
    page: Page, where: str, *, whole: bool = False, without: Sequence[str] = ()
) -> list[str]:
    """Return what axe finds serious or critical, one line each.

    Of rows and other parts that are drawn repeatedly only the first ones, and nothing in the
    parts `without`, unless `whole`.
    """
    if page.evaluate("typeof axe === 'undefined'"):
        page.evaluate(_SCRIPT)
    found: list[dict[str, Any]] = page.evaluate(_BAD_RULES, [] if whole else [*_REPEATED, *without])
    return [
        f"{where}: {rule['id']}: {rule['help']}: {node['target']} {node['html'][:160]}"
        for rule in found
        for node in rule["nodes"][:3]
    ]

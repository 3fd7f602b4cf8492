"""The gate's decision as one self-contained HTML page: the verdict first, then every rule with its number."""

from pathlib import Path

from scintiflow.files import whole_file
from scintiflow.pages import page_template
from scintiflow.registry.verdict import ABSOLUTE, PAIRED, SUBGROUP, Decision

HEADINGS = {
    ABSOLUTE: "What any model must reach",
    PAIRED: "Against the champion, on the same patients",
    SUBGROUP: "No age band, view or scanner worse",
}


def render_decision(decision: Decision, title: str, facts: list[tuple[str, str]], path: Path) -> None:
    """Write the page to `path`, whole or not at all. It asks nothing of any network and works without scripts."""
    groups = [
        (group, heading, [verdict for verdict in decision.verdicts if verdict.group == group])
        for group, heading in HEADINGS.items()
    ]
    page = page_template("scintiflow.registry", "decision.html.j2").render(
        decision=decision, title=title, facts=facts, groups=[entry for entry in groups if entry[2]]
    )
    with whole_file(path) as partial:
        partial.write_text(page, encoding="utf-8")

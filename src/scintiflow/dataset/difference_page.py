"""The difference between two revisions of the cohorts as one self-contained page with charts."""

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from scintiflow.dataset.difference import CHANGES, Difference, cohort_lines, verdict

WIDTH, LEFT, RIGHT, BAR, GAP = 760, 190, 70, 13, 14  # of a chart, in pixels

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Cohorts: {{ d.before.asked_for }} to {{ d.after.asked_for }}</title>
<style>
body{font:15px/1.55 system-ui,sans-serif;max-width:62rem;margin:2.2rem auto;padding:0 1.2rem;color:#1b2430;
font-variant-numeric:tabular-nums}
h1{font-size:1.7rem;margin:0 0 .2rem}h2{font-size:1.15rem;margin:2rem 0 .5rem}.soft{color:#5a6675}
code{font-size:.88em;overflow-wrap:anywhere}
.verdict{padding:.8rem 1.1rem;border-left:6px solid #1b7f4b;background:#f2faf5;margin:1.2rem 0}
.verdict.bad{border-color:#b3362b;background:#fdf4f3}
.cards{display:grid;grid-template-columns:repeat(3,1fr);gap:.8rem}
.card{background:#f5f7f9;border-radius:8px;padding:.7rem 1rem}
.card b{display:block;font-size:1.5rem}.card span{color:#5a6675;font-size:.85rem}
table{border-collapse:collapse}td,th{border-bottom:1px solid #dde2e8;padding:.3rem 1.4rem .3rem 0;text-align:left}
svg{display:block;width:100%;max-width:760px;font-size:12.5px}svg text{fill:#1b2430}svg .name{text-anchor:end}
svg .was{fill:#b6c0cb}svg .now{fill:#1f5f99}svg .number{fill:#5a6675}
.key i{display:inline-block;width:.8em;height:.8em;margin:0 .4em 0 1.2em;vertical-align:-.05em}
summary{cursor:pointer;color:#1f5f99}
</style></head><body>
<h1>What changes in the cohorts</h1>
<p class="soft">From <code>{{ d.before.revision }}</code> ({{ d.before.asked_for }})<br>
to <code>{{ d.after.revision }}</code> ({{ d.after.asked_for }})</p>
<p class="verdict{{ ' bad' if d.must_not_be_merged }}">{{ verdict }}</p>
<div class="cards">
{% for what in ('patients', 'studies') %}{% for change in changes %}<div class="card">
<b>{{ d[what ~ '_' ~ change]|length }}</b><span>{{ what }} {{ change }}</span></div>
{% endfor %}{% endfor %}</div>
<h2>Cohorts</h2>
<ul>{% for line in cohorts %}<li>{{ line }}</li>{% endfor %}</ul>
<p class="key">In the charts<i style="background:#b6c0cb"></i>before<i style="background:#1f5f99"></i>after</p>
{% for title, note, chart in charts %}<h2>{{ title }}</h2><p class="soft">{{ note }}</p>{{ chart }}
{% endfor %}
{% if d.moved %}<h2>Patients that change their split</h2>
<table><tr><th>Patient</th><th>Before</th><th>After</th></tr>
{% for patient, was, now in d.moved %}<tr><td><code>{{ patient }}</code></td><td>{{ was }}</td><td>{{ now }}</td></tr>
{% endfor %}</table>{% endif %}
{% for change in changes if d['patients_' ~ change] %}
<h2>Patients {{ change }}</h2>
<details{{ ' open' if d['patients_' ~ change]|length <= 20 }}><summary>{{ d['patients_' ~ change]|length }}
pseudonyms</summary>
<table><tr><th>Patient</th><th>Split</th><th>Studies</th><th>Cohorts</th><th>Age at each study, years</th>
<th>Scanner</th></tr>
{% for patient in d['patients_' ~ change] %}
{% set facts = (d.before if change == 'removed' else d.after).patients[patient] %}
<tr><td><code>{{ patient }}</code></td><td>{{ facts.split }}</td><td>{{ facts.studies|length }}</td>
<td>{{ facts.cohorts|join(', ') }}</td><td>{% for age in facts.ages_years %}{{ '%.1f'|format(age) }} {% endfor %}</td>
<td>{{ facts.scanners|join(', ') or 'not recorded' }}</td></tr>
{% endfor %}</table></details>{% endfor %}
<p class="soft">Read from cohort.json, the .dvc files and the recipe of both revisions; no scan was fetched. A
patient's split depends on the pseudonym and ingest.split alone.</p>
</body></html>
"""


def difference_page(difference: Difference) -> str:
    """HTML; every text is escaped, scripts are forbidden, nothing is fetched."""
    charts = [
        ("Patients in each split", "A delivery may add patients to a split; it moves nobody.", difference.splits),
        ("Studies by age", "Completed years at the scan.", difference.ages),
        ("Patients by scanner", "A patient seen by two scanners counts for both.", difference.scanners),
    ]
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(PAGE).render(
        d=difference,
        changes=CHANGES,
        verdict=verdict(difference),
        cohorts=cohort_lines(difference),
        charts=[(title, note, pairs_chart(title, counts)) for title, note, counts in charts],
    )


def pairs_chart(description: str, counts: dict[str, tuple[int, int]]) -> Markup:
    """Two horizontal bars for each label, before and after, on one scale from zero, as inline SVG."""
    shown = {label: pair for label, pair in counts.items() if any(pair)}
    largest = max((max(pair) for pair in shown.values()), default=1)
    row = 2 * BAR + GAP
    parts = [f'<svg viewBox="0 0 {WIDTH} {row * len(shown)}" role="img" aria-label="{escape(description)}">']
    for number, (label, pair) in enumerate(shown.items()):
        top = row * number + GAP / 2
        parts.append(f'<text class="name" x="{LEFT - 12}" y="{top + BAR + 4}">{escape(label)}</text>')
        for place, (kind, value) in enumerate(zip(("was", "now"), pair, strict=True)):
            length = (WIDTH - LEFT - RIGHT) * value / largest
            y = top + place * BAR
            parts.append(f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 1}"/>')
            change = f" ({pair[1] - pair[0]:+d})" if kind == "now" and pair[0] != pair[1] else ""
            parts.append(f'<text class="number" x="{LEFT + length + 6:.1f}" y="{y + BAR - 2}">{value}{change}</text>')
    return Markup("".join([*parts, "</svg>"]))

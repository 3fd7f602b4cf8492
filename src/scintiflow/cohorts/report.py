"""One self-contained page about a cohort: outcomes, reasons with remedies, pictures of the pairs."""

from pathlib import Path

from jinja2 import Environment, StrictUndefined

from scintiflow.cohorts.ledger import Ledger
from scintiflow.cohorts.pictures import WHITE_COUNTS, draw_pairs
from scintiflow.dicom.pairing import pair_scans
from scintiflow.params import Protocol

REPORT = "cohort.html"
PICTURED_PAIRS = 200  # of more the page would be too large to open

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Cohort {{ record.name }}</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1b2430}
table{border-collapse:collapse;margin:1rem 0}td,th{border-bottom:1px solid #d5dbe3;padding:.3rem .8rem}
th,td{text-align:left}
td.number{text-align:right;font-variant-numeric:tabular-nums}code{font-size:.85em}
figure{display:inline-block;margin:.5rem 1rem .5rem 0}figcaption{font-size:.8em;color:#5a6675}
.note{background:#fff4d6;padding:.5rem 1rem;border-left:4px solid #d99a00}
</style></head><body>
<h1>Cohort {{ record.name }}</h1>
{% if record.identity_key.public_demonstration_key %}
<p class="note">Pseudonyms were made with the published demonstration key. They protect nobody.</p>{% endif %}
<p>{{ record.walked }} files, {{ record.pairs }} pairs. Identity key {{ record.identity_key.fingerprint }}.</p>
<table><tr><th>Outcome</th><th>Files</th></tr>
{% for outcome, files in record.outcomes.items() %}<tr><td>{{ outcome }}</td><td class="number">{{ files }}</td></tr>
{% endfor %}</table>
{% if record.reasons %}<h2>Reasons</h2>
<table><tr><th>Code</th><th>Files</th><th>What is wrong</th><th>How to mend it</th></tr>
{% for code, reason in record.reasons.items() %}<tr><td>{{ code }}</td><td class="number">{{ reason.files }}</td>
<td>{{ reason.sentence }}.</td><td>{{ reason.remedy }}.</td></tr>
{% endfor %}</table>
<h2>Files set aside</h2>
<table><tr><th>SHA-256</th><th>Outcome</th><th>Code</th><th>Detail</th></tr>
{% for file in record.files if file.code %}<tr><td><code>{{ file.sha256[:16] or 'none' }}</code></td>
<td>{{ file.outcome }}</td><td>{{ file.code }}</td><td>{{ file.detail }}</td></tr>
{% endfor %}</table>{% endif %}
{% if record.overrides %}<h2>Decisions by persons</h2>
<table><tr><th>SHA-256</th><th>Code</th><th>By</th><th>On</th><th>Reason</th><th>Mended file</th></tr>
{% for made in record.overrides %}<tr><td><code>{{ made.sha256[:16] }}</code></td><td>{{ made.code }}</td>
<td>{{ made.by }}</td><td>{{ made.on }}</td><td>{{ made.reason }}</td>
<td><code>{{ made.mended_sha256[:16] }}</code></td></tr>
{% endfor %}</table>{% endif %}
{% if record.warnings %}<h2>Warnings</h2>
<table>{% for code, sentence in record.warnings.items() %}<tr><td>{{ code }}</td><td>{{ sentence }}</td></tr>
{% endfor %}</table>{% endif %}
{% if pictures %}<h2>Pairs</h2>
{% if pictures|length < record.pairs %}<p class="note">The first {{ pictures|length }} of {{ record.pairs }}
pairs are pictured.</p>{% endif %}
<p>Left to right: rapid anterior and posterior, standard anterior and posterior. Square-root scale, black at
{{ white }} counts per pixel in the standard scan and at {{ white }} / k in the rapid one.</p>
{% for picture in pictures %}<figure><img alt="Rapid and standard scan" src="data:image/png;base64,{{ picture.png }}">
<figcaption>{{ picture.patient }}, {{ picture.age }}, k = {{ picture.ratio }}</figcaption></figure>
{% endfor %}{% endif %}
</body></html>
"""


def render_report(folder: Path, ledger: Ledger, workers: int = 1) -> str:
    """HTML of the cohort in `folder`; every cell is escaped, scripts are forbidden, nothing is fetched."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(PAGE).render(
        record=ledger.to_json(), pictures=_pictures(folder, ledger, workers), white=f"{WHITE_COUNTS:g}"
    )


def _pictures(folder: Path, ledger: Ledger, workers: int) -> list[dict[str, str]]:
    accepted = {
        entry.scan.instance_uid: entry for entry in ledger.entries if entry.outcome == "accepted" and entry.scan
    }
    scans = [entry.summary for entry in accepted.values()]
    pairs = list(pair_scans(scans, Protocol.model_validate(ledger.protocol)).pairs[:PICTURED_PAIRS])
    objects = {uid: folder / str(entry.path) for uid, entry in accepted.items()}
    return [
        {
            "png": png,
            "patient": pair.rapid.patient,
            "age": "age unknown" if pair.rapid.age_years is None else f"{pair.rapid.age_years:.1f} years",
            "ratio": f"{pair.count_ratio:.3f}",
        }
        for pair, png in zip(pairs, draw_pairs(pairs, objects, workers), strict=True)
        if png
    ]

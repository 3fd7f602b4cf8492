"""One self-contained page about a cohort: outcomes, reasons with remedies, pictures of the pairs."""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from scintiflow.cohorts.ledger import Ledger
from scintiflow.cohorts.pictures import WHITE_COUNTS, draw_pairs
from scintiflow.dicom.pairing import pair_scans
from scintiflow.dicom.reasons import Outcome, Reason
from scintiflow.params import Protocol

REPORT = "cohort.html"
PICTURED_PAIRS = 200  # of more the page would be too large to open

MEANINGS = {
    Outcome.ACCEPTED: "one half of a pair; its de-identified object is in the cohort",
    Outcome.UNPAIRED: "a good scan without its partner; kept, and paired when a later delivery brings the partner",
    Outcome.QUARANTINED: "set aside, not copied; mend it as said below and add the export again",
    Outcome.IGNORED: "no scan, or a copy of one; nothing to mend",
}
TO_MEND_FIRST = [Outcome.QUARANTINED, Outcome.UNPAIRED, Outcome.IGNORED]

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Cohort {{ record.name }}</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1b2430}
table{border-collapse:collapse;margin:1rem 0}td,th{border-bottom:1px solid #d5dbe3;padding:.3rem .8rem}
th,td{text-align:left;vertical-align:top}
td.number{text-align:right;font-variant-numeric:tabular-nums}code{font-size:.85em;overflow-wrap:anywhere}
figure{display:inline-block;margin:.5rem 1rem .5rem 0}figcaption{font-size:.8em;color:#5a6675}img{max-width:100%}
.note{background:#fff4d6;padding:.5rem 1rem;border-left:4px solid #d99a00}
@media(max-width:44rem){th{display:none}tr{display:block;padding:.5rem 0;border-bottom:1px solid #d5dbe3}
td,td.number{display:inline;border:0;padding:0 .6rem 0 0}td.words{display:block}}
</style></head><body>
<h1>Cohort {{ record.name }}</h1>
{% if record.identity_key.public_demonstration_key %}
<p class="note">Pseudonyms were made with the published demonstration key. They protect nobody.</p>{% endif %}
<p>{{ record.walked }} files, {{ record.pairs }} pairs. Identity key {{ record.identity_key.fingerprint }}.
{% if reasons %}<a href="#reasons">What to mend</a> · <a href="#files">files</a> · {% endif %}
{% if pictures %}<a href="#pairs">pictures of the pairs</a>{% endif %}</p>
<table><tr><th>Outcome</th><th>Files</th><th>Meaning</th></tr>
{% for outcome, files in record.outcomes.items() %}<tr><td>{{ outcome }}</td><td class="number">{{ files }}</td>
<td class="words">{{ meanings[outcome] }}</td></tr>
{% endfor %}</table>
{% if reasons %}<h2 id="reasons">What to mend</h2>
<table><tr><th>Outcome</th><th>Files</th><th>Code</th><th>What is wrong</th><th>How to mend it</th></tr>
{% for code, outcome, reason, files in reasons %}<tr><td>{{ outcome }}</td><td class="number">{{ reason.files }}</td>
<td><a href="#{{ code }}">{{ code }}</a></td><td class="words">{{ reason.sentence }}.</td>
<td class="words">{{ reason.remedy }}.</td></tr>
{% endfor %}</table>
{% if overrulable %}<p>Where somebody knows better than the header, a named person may overrule
{{ overrulable|join(", ") }}:
<code>scintiflow cohort readmit FILE --name {{ record.name }} --by PERSON --reason WHY</code></p>{% endif %}
{% endif %}
{% if record.overrides %}<h2>Decisions by persons</h2>
<table><tr><th>SHA-256</th><th>Code</th><th>By</th><th>On</th><th>Reason</th><th>Mended file</th></tr>
{% for made in record.overrides %}<tr><td><code>{{ made.sha256[:16] }}</code></td><td>{{ made.code }}</td>
<td>{{ made.by }}</td><td>{{ made.on }}</td><td class="words">{{ made.reason }}</td>
<td><code>{{ made.mended_sha256[:16] }}</code></td></tr>
{% endfor %}</table>{% endif %}
{% if warnings %}<h2>Warnings</h2>
<p>They change no outcome; cohort.json says which file has which.</p>
<table><tr><th>Files</th><th>Code</th><th>Meaning</th></tr>
{% for code, files, sentence in warnings %}<tr><td class="number">{{ files }}</td><td>{{ code }}</td>
<td class="words">{{ sentence }}</td></tr>
{% endfor %}</table>{% endif %}
{% if pictures %}<h2 id="pairs">Pairs</h2>
{% if pictures|length < record.pairs %}<p class="note">The first {{ pictures|length }} of {{ record.pairs }}
pairs are pictured.</p>{% endif %}
<p>Left to right: rapid anterior and posterior, standard anterior and posterior. Square-root scale, black at
{{ white }} counts per pixel in the standard scan and at {{ white }} / k in the rapid one.</p>
{% for picture in pictures %}<figure><img alt="Rapid and standard scan" src="data:image/png;base64,{{ picture.png }}">
<figcaption>{{ picture.patient }}, {{ picture.age }}, k = {{ picture.ratio }}</figcaption></figure>
{% endfor %}{% endif %}
{% if reasons %}<h2 id="files">Files that are not part of a pair</h2>
<p>Files are named by their SHA-256, since names and folders may name patients. Where they lie, on your screen alone:
<code>scintiflow cohort add EXPORT --name {{ record.name }} --dry-run --show-paths</code></p>
<table><tr><th>SHA-256</th><th>Outcome</th><th>Code</th><th>Patient</th><th>Detail</th></tr>
{% for code, outcome, reason, files in reasons %}{% for file in files %}
<tr{% if loop.first %} id="{{ code }}"{% endif %}><td><code>{{ file.sha256[:12] or 'none' }}</code></td>
<td>{{ outcome }}</td><td>{{ code }}</td><td>{{ file.scan.patient if file.scan else '' }}</td>
<td class="words">{{ file.detail }}</td></tr>{% endfor %}
{% endfor %}</table>{% endif %}
</body></html>
"""


def render_report(folder: Path, ledger: Ledger, workers: int = 1) -> str:
    """HTML of the cohort in `folder`; every cell is escaped, scripts are forbidden, nothing is fetched."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    record = ledger.to_json()
    return environment.from_string(PAGE).render(
        record=record,
        meanings=MEANINGS,
        reasons=_reasons(record),
        overrulable=[code for code in record["reasons"] if Reason[code].may_be_overruled],
        warnings=_warnings(record),
        pictures=_pictures(folder, ledger, workers),
        white=f"{WHITE_COUNTS:g}",
    )


def _reasons(record: dict[str, Any]) -> list[tuple[str, str, dict[str, Any], list[dict[str, Any]]]]:
    """(code, outcome, reason, files): what needs somebody's work first, then what concerns most files."""
    of_code = defaultdict(list)
    for file in record["files"]:
        of_code[file["code"]].append(file)
    return sorted(
        ((code, Reason[code].outcome.value, reason, of_code[code]) for code, reason in record["reasons"].items()),
        key=lambda found: (TO_MEND_FIRST.index(Reason[found[0]].outcome), -found[2]["files"], found[0]),
    )


def _warnings(record: dict[str, Any]) -> list[tuple[str, int, str]]:
    """(code, files, sentence), the most frequent first."""
    counted = Counter(warning for file in record["files"] for warning in file["warnings"])
    return sorted(
        ((code, counted[code], sentence) for code, sentence in record["warnings"].items()),
        key=lambda found: (-found[1], found[0]),
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

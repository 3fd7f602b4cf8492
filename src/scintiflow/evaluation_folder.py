"""Names of the files in the folder that the stage evaluate writes; docs/reference/evaluation.md has their content."""

PATIENTS, LESIONS = "patients.parquet", "lesions.parquet"
NOISE, EDGES = "noise.csv", "edges.csv"
SUMMARY, TIMINGS = "summary.json", "timings.json"
PICTURES, CAPTIONS = "pictures", "captions.json"
CURVES = "curves.png"
REPORT = "report.html"

PAIRED = "compared"  # method under which a second run's restoration stands in a comparison of two
ORIGIN = "Training started from"  # the fact in summary.json that the model card repeats

"""Hospital deliveries: checked, de-identified, paired, and kept as cohorts."""

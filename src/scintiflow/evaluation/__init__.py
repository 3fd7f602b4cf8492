"""How good a restoration is: metrics, count and lesion fidelity, baselines, statistics, pictures, report."""

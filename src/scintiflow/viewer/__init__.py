"""A restored scan beside the rapid one, as one page for a browser."""

"""Whether the scans of today still look like those that the model learned from."""

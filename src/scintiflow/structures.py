"""The five structures whose masks the product speaks of, in the order of every mask array."""

STRUCTURES = ("body", "bone", "kidneys", "bladder", "injection_site")
BODY, BONE, KIDNEYS, BLADDER, INJECTION_SITE = range(5)

"""The one image that every step runs in.

`SCINTIFLOW_IMAGE` names it when a pipeline is compiled for a cluster (`registry/scintiflow-python:<git SHA>`,
never 'latest'). The default is only a name: local runs use the installed package. It does not carry the
commit, because the image is part of kfp.local's cache key; the code's hash travels as an input, `code_version`.
"""

import os

IMAGE = os.environ.get("SCINTIFLOW_IMAGE", "scintiflow-python:local")

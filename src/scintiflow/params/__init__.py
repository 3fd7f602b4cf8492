"""params.yaml, typed: every knob with its unit, frozen, validated; an unknown key is an error.

`params.yaml` is the production recipe. A profile (`profiles/<name>.yaml`) is an overlay that may
change any value and may not add a key. One section belongs to one stage, so that a change in a
section re-runs that stage and what depends on it, and nothing else.
"""

from scintiflow.params.data import ImagePairParams, IngestParams, PhantomParams, Protocol, ScenesParams, SplitParams
from scintiflow.params.judging import (
    AblationArmParams,
    AblationParams,
    EvaluateParams,
    FetchChampionParams,
    GateMetric,
    GateRules,
    Margins,
    RefusalParams,
    RegisterParams,
    RestoreRealParams,
    TrackingParams,
)
from scintiflow.params.networks import (
    AdaptSamParams,
    AugmentationParams,
    DistilPriorsParams,
    NetworkParams,
    SamArchitecture,
    TrainCascadeParams,
)
from scintiflow.params.recipe import (
    Params,
    ReferenceRecipe,
    changed,
    load_params,
    load_reference_recipe,
    parse_section,
    section_of,
)
from scintiflow.params.section import Section
from scintiflow.params.using import NodeParams, PeerParams, TlsParams, WatchParams

__all__ = [
    "AblationArmParams",
    "AblationParams",
    "AdaptSamParams",
    "AugmentationParams",
    "DistilPriorsParams",
    "EvaluateParams",
    "FetchChampionParams",
    "GateMetric",
    "GateRules",
    "ImagePairParams",
    "IngestParams",
    "Margins",
    "NetworkParams",
    "NodeParams",
    "Params",
    "PeerParams",
    "PhantomParams",
    "Protocol",
    "ReferenceRecipe",
    "RefusalParams",
    "RegisterParams",
    "RestoreRealParams",
    "SamArchitecture",
    "ScenesParams",
    "Section",
    "SplitParams",
    "TlsParams",
    "TrackingParams",
    "TrainCascadeParams",
    "WatchParams",
    "changed",
    "load_params",
    "load_reference_recipe",
    "parse_section",
    "section_of",
]

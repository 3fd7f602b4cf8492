"""The whole recipe: read from params.yaml and a profile, checked, and cut into sections."""

import difflib
from pathlib import Path
from typing import Annotated, Any, get_args

import yaml
from pydantic import Field, ValidationError, model_validator

from scintiflow.errors import ScintiflowError
from scintiflow.params.data import IngestParams, PhantomParams, ScenesParams
from scintiflow.params.judging import (
    AblationArmParams,
    AblationParams,
    EvaluateParams,
    FetchChampionParams,
    RegisterParams,
    RestoreRealParams,
    TrackingParams,
)
from scintiflow.params.networks import AdaptSamParams, DistilPriorsParams, TrainCascadeParams
from scintiflow.params.placement import PlacementParams
from scintiflow.params.section import Section, SectionType
from scintiflow.params.using import NodeParams, WatchParams

OVER = "over"  # key of an overlay of the reference model's recipe


class ReferenceRecipe(Section):
    """How the reference model is made: the scenes, and the keys of `train_cascade` that differ from params.yaml."""

    scenes: ScenesParams
    train_cascade: dict[str, Any]


class Params(Section):
    """The whole recipe."""

    phantom: PhantomParams
    ingest: IngestParams
    adapt_sam: AdaptSamParams
    distil_priors: DistilPriorsParams
    train_cascade: TrainCascadeParams
    fetch_champion: FetchChampionParams
    evaluate: EvaluateParams
    register_: Annotated[RegisterParams, Field(alias="register")]
    restore_real: RestoreRealParams
    tracking: TrackingParams
    placement: PlacementParams
    ablation: AblationParams = AblationParams(seeds=[1, 2, 3])
    node: NodeParams = NodeParams()
    watch: WatchParams = WatchParams()

    @model_validator(mode="after")
    def _one_model_name(self) -> "Params":
        if self.fetch_champion.model_name != self.register_.model_name:
            raise ValueError("fetch_champion.model_name and register.model_name must be the same")
        return self

    def section(self, stage: str) -> Section:
        """The section of a stage, by the stage's name."""
        return self.register_ if stage == "register" else getattr(self, stage)


def load_params(base: Path, profile: Path | None = None) -> Params:
    """Read `base`, lay `profile` over it, validate.

    Raises ScintiflowError that names the file, the key, the reason and the remedy.
    """
    values = _read_mapping(base)
    if profile is not None:
        overlay = _read_mapping(profile)
        # A step's place names only what differs, so an overlay may name more; its types refuse an unknown key.
        _refuse_new_keys(values, {key: overlay[key] for key in overlay if key != "placement"}, profile)
        values = _overlaid(values, overlay)
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise _readable(error, base, profile) from None


def load_reference_recipe(path: Path) -> ReferenceRecipe:
    """Read the recipe of the reference model; `over: <file beside it>` names the recipe that it is laid over.

    Raises ScintiflowError that names file, key, reason and remedy.
    """
    values = _read_mapping(path)
    base = values.pop(OVER, None)
    if base is not None:
        values = _overlaid(_read_mapping(path.parent / str(base)), values)
    try:
        return ReferenceRecipe.model_validate(values)
    except ValidationError as error:
        raise _readable(error, path, None, ReferenceRecipe) from None


def changed(section: SectionType, **changes: object) -> SectionType:
    """A copy of a section with values from the command line, checked like those of a file."""
    try:
        return type(section).model_validate(section.model_dump() | changes)
    except ValidationError as error:
        problem = error.errors()[0]
        raise ScintiflowError(
            f"is wrong: {problem['msg']} (it is {problem['input']!r})",
            where=f"--{'.'.join(str(part) for part in problem['loc'])}",
            remedy="Give another value",
        ) from None


# Stages of the ablation's pipeline, whose sections are made of those of params.yaml.
OF_THE_ABLATION: dict[str, type[Section]] = {
    "unadapted_sam": AdaptSamParams,
    "ablation_arm": AblationArmParams,
    "ablation_table": EvaluateParams,
}


def parse_section(stage: str, text: str) -> Section:
    """A stage's section from the JSON that travels through a pipeline."""
    if stage in OF_THE_ABLATION:
        return OF_THE_ABLATION[stage].model_validate_json(text)
    field = "register_" if stage == "register" else stage
    section_type: type[Section] = Params.model_fields[field].annotation  # type: ignore[assignment]
    return section_type.model_validate_json(text)


def section_of(stage: str, base: str, overlay: str = "") -> Section:
    """A stage's section from the texts of a recipe and of a profile, whatever the other sections look like.

    For recipes of earlier revisions. Raises ScintiflowError if the section is not one that this version knows.
    """
    field = "register_" if stage == "register" else stage
    section_type: type[Section] = Params.model_fields[field].annotation  # type: ignore[assignment]
    try:
        whole = _overlaid(yaml.safe_load(base), yaml.safe_load(overlay) or {} if overlay else {})
        return section_type.model_validate(whole[stage])
    except (yaml.YAMLError, KeyError, TypeError, ValidationError) as error:
        raise ScintiflowError(
            f"section '{stage}' cannot be read ({type(error).__name__})",
            where="params.yaml",
            remedy="Compare with a revision whose recipe has the same keys",
        ) from None


def _read_mapping(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ScintiflowError("no such file", where=path, remedy="Run inside the project, or name an existing file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "broken"
        raise ScintiflowError(f"not valid YAML{line}: {problem}", where=path, remedy="Mend that line") from None
    if not isinstance(content, dict):
        raise ScintiflowError("holds no sections", where=path, remedy="Give it `section: {key: value}` entries")
    return content


def _refuse_new_keys(base: dict, overlay: dict, path: Path, at: str = "") -> None:
    for key, value in overlay.items():
        if key not in base:
            raise _unknown_key(path, f"{at}{key}", list(base))
        if isinstance(value, dict) and isinstance(base[key], dict):
            _refuse_new_keys(base[key], value, path, f"{at}{key}.")


def _overlaid(base: dict, overlay: dict) -> dict:
    merged = dict(base)
    for key, value in overlay.items():
        both_mappings = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _overlaid(base[key], value) if both_mappings else value
    return merged


def _unknown_key(path: Path, key: str, known: list[str]) -> ScintiflowError:
    near = difflib.get_close_matches(key.rsplit(".", 1)[-1], [str(name) for name in known], n=1)
    remedy = f"Did you mean '{near[0]}'?" if near else f"Known keys here: {', '.join(sorted(map(str, known)))}"
    return ScintiflowError(f"unknown key '{key}'", where=path, remedy=remedy)


def _readable(
    error: ValidationError, base: Path, profile: Path | None, whole: type[Section] = Params
) -> ScintiflowError:
    problem = error.errors()[0]
    location = [part for part in problem["loc"] if not (isinstance(part, str) and part.startswith("function-"))]
    key = ".".join(str(part) for part in location) or "(top level)"
    origin = profile if profile is not None and _holds(profile, location) else base
    if problem["type"] == "extra_forbidden":
        parent: Any = whole
        for part in location[:-1]:
            if isinstance(part, int):
                parent = get_args(parent)[0]
            else:
                parent = parent.model_fields.get(f"{part}_", parent.model_fields.get(part)).annotation
        known = [field.alias or name for name, field in parent.model_fields.items()]
        return _unknown_key(origin, key, known)
    if problem["type"] == "missing":
        return ScintiflowError(f"key '{key}' is missing", where=origin, remedy="Add it with a value")
    reason = problem["msg"].removeprefix("Value error, ")
    given = "" if isinstance(problem["input"], dict) else f" (it is {problem['input']!r})"
    return ScintiflowError(
        f"key '{key}' is wrong: {reason[0].lower()}{reason[1:]}{given}",
        where=origin,
        remedy="Mend the value; params.yaml explains every key",
    )


def _holds(path: Path, location: list) -> bool:
    node: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    for part in location:
        if not isinstance(node, dict) or part not in node:
            return False
        node = node[part]
    return True

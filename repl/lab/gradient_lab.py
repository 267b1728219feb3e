"""``celloquy gradients``: which networks to measure, and what to draw of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cells.errors import CelloquyError, UsageError
from cells.initialise import initialise
from cells.model import LanguageModel
from checkpoints.finding import find, siblings
from checkpoints.loading import Loaded, load_checkpoint
from plugins.registry import Registry
from repl.lab.clipping import TrainingRun, clipping_run
from repl.lab.draw.picture import Panel, Picture
from repl.lab.gradient_picture import clipping_panels, study_panels
from repl.lab.gradients import GradientStudy, measure, random_tokens
from repl.lab.jacobian import EXACT
from repl.lab.options import GRADIENT_SWITCHES
from repl.lab.texts import own_text, windows
from repl.lab.variants import CURES, VOCABULARY, Variant, build, combinations

NOTE = (
    "How strongly the loss at step t depends on the states k steps before it. Norms are medians over the texts, with "
    "quartiles; they are shown as multiples of the gradient that enters the last layer at step t itself."
)
CLIPPED = Variant(activation="relu", init="he")
"""A network whose gradients are now and then far too large: without clipping one step destroys it."""


def gradient_lab(
    name: str | None, given: Mapping[str, Any], values: Mapping[str, Any], registry: Registry
) -> tuple[Picture, dict[str, Any]]:
    """The picture and the numbers. ``values`` are all options, ``given`` those that the person gave.

    With ``name`` a family's checkpoints, untrained and trained; else untrained networks, by ``cure`` or by switches.
    """
    if name is not None:
        switches = [option.key for option in GRADIENT_SWITCHES if option.key != "cell"]
        _refuse(given, "a checkpoint", ("cure", "hidden", "clip", *switches))
        studies = checkpoint_studies(name, given, values, registry)
        title = f"Gradients through time: {name}, untrained and trained"
        return Picture(title, study_panels("", studies), NOTE), {"studies": [study.to_json() for study in studies]}
    _refuse(given, "no checkpoint", ("text",))
    if given.get("cure") is not None:
        _refuse(given, "--cure", [option.key for option in GRADIENT_SWITCHES])
    elif not any(option.key in given for option in GRADIENT_SWITCHES) and "clip" not in given:
        given = {**given, "cure": "overview"}
    groups = list(variant_groups(given, values))
    panels: list[Panel] = []
    data: dict[str, Any] = {"length": values["length"], "hidden": values["hidden"], "seed": values["seed"]}
    for key, title, variants in groups:
        studies = [variant_study(variant, values, registry) for variant in variants]
        panels += study_panels(title if len(groups) > 1 else "", studies)
        data.setdefault("groups", []).append(
            {"cure": key, "title": title, "studies": [study.to_json() for study in studies]}
        )
    runs = _training_runs(given, values, registry, [v for _, _, variants in groups for v in variants])
    if runs:
        panels += clipping_panels(runs)
        data["training"] = [run.to_json() for run in runs]
    title = groups[0][1] if len(groups) == 1 else "Vanishing and exploding gradients, and the cures"
    return Picture(title, panels, NOTE if groups else ""), data


def _refuse(given: Mapping[str, Any], what: str, keys: Any) -> None:
    for key in keys:
        if given.get(key) is not None:
            raise UsageError(f"--{key} does not go with {what}")


def variant_groups(given: Mapping[str, Any], values: Mapping[str, Any]) -> list[tuple[str, str, list[Variant]]]:
    """(key, title, networks) of each group to draw. UsageError for a switch's value that cannot be."""
    cure = given.get("cure")
    if cure == "clipping":
        return []
    if cure is not None:
        names = [name for name in CURES if name != "overview"] if cure == "all" else [cure]
        return [(name, CURES[name][0], list(CURES[name][1])) for name in names]
    switches = {
        "cell": _items(values, "cell", str),
        "activation": _items(values, "activation", str),
        "init": _items(values, "init", str),
        "scale": _items(values, "scale", float),
        "norm": _items(values, "norm", _one_of("norm", ("none", "layer", "batch"))),
        "layers": _items(values, "layers", int),
        "residual": [word == "on" for word in _items(values, "residual", _one_of("residual", ("off", "on")))],
        "bias": [tuple(_bias(text) for text in values["bias"])],
    }
    if any(layers < 1 for layers in switches["layers"]):
        raise UsageError("layers must be whole numbers from 1")
    return [("", "Gradients through time", combinations(switches))]


def _items(values: Mapping[str, Any], key: str, kind: Callable[[str], Any]) -> list[Any]:
    """The values of a switch that lists several. UsageError names the one that is wrong."""
    items = []
    for text in values[key].split(","):
        try:
            items.append(kind(text.strip()))
        except ValueError:
            expected = {int: "whole numbers", float: "numbers"}.get(kind, "words")  # type: ignore[call-overload]
            raise UsageError(f"{key} must be {expected} separated by commas, not {values[key]!r}") from None
    return items


def _one_of(key: str, words: tuple[str, ...]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in words:
            raise UsageError(f"{key} must be one or more of {', '.join(words)}, not {text!r}")
        return text

    return check


def _bias(text: str) -> tuple[str, float]:
    gate, equals, number = text.partition("=")
    try:
        value = float(number)
    except ValueError:
        equals = ""
        value = 0.0
    if not equals or not gate.strip():
        raise UsageError(f"bias must be GATE=NUMBER, as in f=5, not {text!r}")
    return gate.strip(), value


def variant_study(variant: Variant, values: Mapping[str, Any], registry: Registry) -> GradientStudy:
    """Measure an untrained network on random text."""
    model = build(variant, registry, hidden=values["hidden"], seed=values["seed"])
    tokens = random_tokens(VOCABULARY, values["length"], values["batch"], values["seed"])
    # batch normalisation makes the rows depend on each other: one row has no Jacobian of its own
    jacobian = variant.norm != "batch" and _wants_jacobian(model, values) and values["cure"] != "all"
    return measure(model, tokens, variant.label, jacobian=jacobian, network=variant.label, variant=variant.to_json())


def _wants_jacobian(model: LanguageModel, values: Mapping[str, Any]) -> bool:
    layer = model.recurrent_layers[-1]
    small = layer.hidden_size * len(layer.cell.state) <= EXACT
    return small if values["jacobian"] is None else bool(values["jacobian"])


def checkpoint_studies(
    name: str, given: Mapping[str, Any], values: Mapping[str, Any], registry: Registry
) -> list[GradientStudy]:
    """Measure checkpoints: all of a family (or those of ``cell``) when only the family is named, else the one named.

    Each is measured as it was before training, with the initial weights of its recipe, and as it is.
    """
    path = find(name)
    named = path.name.removesuffix(".safetensors")
    if "cell" in given:
        paths = [find(name, cell) for cell in _items(values, "cell", str)]
    else:
        paths = [path] if name == named or name.endswith(".safetensors") else list(siblings(path).values())
    studies = []
    for one in paths:
        loaded = load_checkpoint(one, registry=registry)
        if values["text"] is None:
            tokens = own_text(loaded, values["length"] + 2, values["batch"], values["seed"])
        else:
            tokens = windows(loaded, values["text"], values["length"] + 2, values["batch"])
        for trained in (False, True):
            model = loaded.model if trained else untrained(loaded, values["seed"])
            label = f"{loaded.header.cell_name} {'trained' if trained else 'untrained'}"
            facts = {"network": loaded.name, "trained": trained}
            studies.append(measure(model, tokens, label, jacobian=_wants_jacobian(model, values), **facts))
    return studies


def untrained(loaded: Loaded, seed: int) -> LanguageModel:
    """A model like a checkpoint's with fresh weights, drawn as its recipe says."""
    model = LanguageModel(loaded.cell, loaded.model.config)
    scheme = loaded.header.recipe.get("init", "default")
    try:
        initialise(model, scheme if isinstance(scheme, str) else "default", seed)
    except UsageError as error:
        raise CelloquyError(f"{loaded.path}: its recipe says: {error}") from error
    return model.eval()


def _training_runs(
    given: Mapping[str, Any], values: Mapping[str, Any], registry: Registry, variants: list[Variant]
) -> list[TrainingRun]:
    if given.get("clip") is None and given.get("cure") not in ("clipping", "all"):
        return []
    chosen = [CLIPPED] if given.get("cure") is not None else variants
    clip = values["clip"] or 1.0
    return [clipping_run(variant, limit, registry, seed=values["seed"]) for variant in chosen for limit in (0.0, clip)]

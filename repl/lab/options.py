"""The flags of the lab's commands, declared once each. No torch here."""

from __future__ import annotations

from checkpoints.options import TRAIN_OPTIONS
from plugins.options import Option, OptionSet
from repl.lab.draw.svg import THEMES
from repl.lab.variants import CURES

OUTPUT_OPTIONS = (
    Option("out", str, None, "Also write the picture to a file.", metavar="FILE.svg|png|html"),
    Option("theme", "choice", "auto", "Ground of the picture in the file; auto follows the reader.", choices=THEMES),
    Option("json", bool, False, "Print the numbers as JSON instead of the picture."),
)

GRADIENT_SWITCHES = OptionSet(
    (
        Option("cell", str, "rnn", "Cells of untrained networks, separated by commas.", metavar="CELL,…"),
        Option("activation", str, "", "Activations of the rnn: tanh, relu, sigmoid (several: commas)."),
        Option("init", str, "default", "Initial weights: default, glorot, orthogonal, he, normal:STD (commas)."),
        Option("scale", str, "1", "Factors on the recurrent matrices (commas)."),
        Option("norm", str, "none", "Normalisation inside the recurrence: none, layer, batch (commas)."),
        Option("layers", str, "1", "Recurrent layers (commas)."),
        Option("residual", str, "off", "Residual layers: off, on, or off,on for both."),
        Option("bias", str, (), "Bias of a gate, as in f=5 (repeatable).", multiple=True, metavar="GATE=X"),
    )
)
"""Every combination of what they list is measured."""

CURE_NAMES = (*CURES, "clipping", "all")

GRADIENT_OPTIONS = OptionSet(
    (
        Option("cure", "choice", None, "A set of networks that shows one cure, before and after.", choices=CURE_NAMES),
        *GRADIENT_SWITCHES,
        Option("clip", float, None, "Train each network with and without this clipping.", 0, exclusive_minimum=True),
        Option("hidden", int, 64, "Units in each layer of an untrained network.", minimum=1, maximum=1024),
        Option("length", int, 200, "Steps back to measure.", minimum=1, maximum=10_000),
        Option("batch", int, 16, "Texts to measure; the median and the quartiles are shown.", minimum=1, maximum=1024),
        Option("seed", int, 1, "Seed of weights and texts.", minimum=0, maximum=2**63 - 1),
        Option("text", str, None, "Text to read instead of the model's own writing.", metavar="FILE"),
        Option("jacobian", bool, None, "The largest singular value also for layers of many units (slow)."),
        *OUTPUT_OPTIONS,
    )
)

_LAYER = Option("layer", int, None, "Which layer, counted from 1; the last if not given.", minimum=1)
_CELL = Option("cell", str, None, "The family's checkpoint of this cell.", metavar="CELL")

GATE_OPTIONS = OptionSet(
    (
        _CELL,
        _LAYER,
        Option("unit", str, "", "Units to show, as in 3,7,20-31, or all.", metavar="LIST"),
        Option("most", int, 8, "Without --unit: how many of the units that vary most.", minimum=1, maximum=1024),
        *OUTPUT_OPTIONS,
    )
)

STEP_OPTIONS = OptionSet(
    (
        _CELL,
        _LAYER,
        Option("at", int, None, "The character to look at, counted from 1; the last if not given.", minimum=1),
        Option("unit", str, "", "Units to show, the first with its equations, as in 3,7,20-31.", metavar="LIST"),
        Option("most", int, 6, "Without --unit: how many of the units that change most.", minimum=1, maximum=1024),
        *OUTPUT_OPTIONS,
    )
)

NEURON_OPTIONS = OptionSet(
    (
        _CELL,
        Option("limit", int, 200_000, "Characters of the text that are read.", minimum=1),
        Option("most", int, 2, "Units to list for each feature.", minimum=1, maximum=100),
        Option("show", int, 3, "Features to show as coloured text, the best followed first.", minimum=0),
        Option("feature", str, (), "Only this feature (repeatable).", multiple=True, metavar="FEATURE"),
        *OUTPUT_OPTIONS,
    )
)

_NOT_COMPARED = (
    "name",
    "cell",
    "out",
    "resume",
    "allow_changed_corpus",
    "from",
    "recipe",
    "sample_every",
    "tensorboard",
    "cell_option",
)
"""Options of ``celloquy train`` that have no place where every cell is trained from nothing in the same way."""

COMPARED_OPTIONS = OptionSet(option for option in TRAIN_OPTIONS if option.key not in _NOT_COMPARED)
"""The conditions of a comparison, the same for every cell."""

COMPARE_OPTIONS = OptionSet(
    (
        Option("cell", str, "rnn,lstm,gru", "Cells to compare, separated by commas.", metavar="CELL,…"),
        Option("seeds", int, 1, "Runs of each cell, with the seeds from --seed on; several give a band.", minimum=1),
        Option("keep", str, None, "Keep the checkpoints and logs in this folder.", metavar="DIR"),
        Option("sample", int, 120, "Characters of the sample of each cell, 0 for none.", minimum=0, maximum=10_000),
        *COMPARED_OPTIONS,
        *OUTPUT_OPTIONS,
    )
)

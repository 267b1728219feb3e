"""What a cell may declare, and what is said of a declaration that cannot be used."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest

from cells.cell import Cell, check_declaration
from cells.errors import CelloquyError, UsageError
from cells.gru import GRU
from cells.lstm import LSTM
from cells.rnn import RNN


def test_options_are_the_constructors_arguments_with_defaults():
    assert RNN().options == {"activation": "tanh"}
    assert RNN("relu").options == {"activation": "relu"}
    assert LSTM().options == {}
    assert RNN.option_defaults() == {"activation": "tanh"}


def test_options_survive_a_deep_copy():
    assert copy.deepcopy(RNN("relu")).options == {"activation": "relu"}


def test_an_unknown_option_names_those_there_are():
    with pytest.raises(UsageError, match="activation"):
        RNN(colour="blue")
    with pytest.raises(UsageError, match="tanh or relu"):
        RNN(activation="sine")


@pytest.mark.parametrize("cell", [RNN(), LSTM(), GRU()])
def test_the_built_in_declarations_are_valid(cell):
    check_declaration(cell)


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"input": ""}, "names no gate"),
        ({"input": "hh"}, "stands twice"),
        ({"input": ("_h",)}, "not a name"),
        ({"input": "h", "recurrent": {"h": ""}}, "feeds no gate"),
        ({"input": "h", "recurrent": {"1": "h"}}, "not a name"),
        ({"input": "h", "state": {}}, "state is empty"),
        ({"input": "h", "state": {"h": "zero"}}, "must be a number"),
        ({"input": "h", "state": {"h": float("nan")}}, "must be a number"),
        ({"input": "h", "vectors": {"u": float("inf")}}, "must be a number"),
        ({"input": "h", "bias": {"f": 1.0}}, "not in input"),
        ({"input": "h", "recurrent": {"h": "h"}, "affine": True}, "excludes recurrent"),
        ({"input": "h", "version": 0}, "version"),
    ],
)
def test_a_bad_declaration_is_told_in_one_line(declared, says):
    cell = type("Mine", (Cell,), declared)()
    with pytest.raises(CelloquyError, match=says) as caught:
        check_declaration(cell)
    assert str(caught.value).startswith("cell Mine")
    assert "\n" not in str(caught.value)


def test_a_state_may_start_at_minus_infinity():
    check_declaration(type("Mine", (Cell,), {"input": "h", "state": {"h": 0.0, "m": float("-inf")}})())


def test_the_protocol_imports_no_torch():
    code = "import sys, cells.cell, cells.errors; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

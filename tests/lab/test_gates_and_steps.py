"""What the gates command and the step command say about checkpoints."""

from __future__ import annotations

import json

import pytest
import torch

from cells.errors import CelloquyError, UsageError
from plugins.registry import load_plugins
from repl.lab.draw.picture import HeatMap, Lines, Table
from repl.lab.gates import gate_lab, gate_picture, heading, record_gates
from repl.lab.options import GATE_OPTIONS, STEP_OPTIONS
from repl.lab.reading import check_length, chosen_layer, chosen_units, given_text, pieces_of, tokens_of
from repl.lab.step import most_changed, record_step, step_json, step_lab, step_picture
from repl.text_model import READ_AT_ONCE

TEXT = "ROMEO:\nGood night, good night!"
CELLS = list(load_plugins().cells)


def read(loaded, text=TEXT):
    return torch.tensor(loaded.tokenizer.encode(text))


# ------------------------------------------------------------------ gates


@pytest.mark.parametrize("cell", CELLS)
def test_every_registered_cell_can_be_recorded(loaded, cell):
    checkpoint = loaded(cell)
    record = record_gates(checkpoint, read(checkpoint))
    assert record.pieces == list(TEXT)
    assert {one.name for one in record.recorded if one.kind == "state"} == set(checkpoint.cell.state)
    for one in record.recorded:
        assert one.values.shape == (len(TEXT), 12), one.name
        assert bool(torch.isfinite(one.values).all()), one.name


def test_recorded_gates_make_the_recorded_states(loaded):
    """c_t = f c_{t-1} + i g and h = o tanh(c), all along the text, in every layer."""
    checkpoint = loaded("lstm", num_layers=2, norm="layer", residual=True)
    for layer in (1, 2):
        record = record_gates(checkpoint, read(checkpoint), layer)
        one = {(item.kind, item.name): item.values for item in record.recorded}
        c = one["state", "c"]
        before = torch.cat([torch.zeros(1, 12), c[:-1]])
        torch.testing.assert_close(one["gate", "f"] * before + one["gate", "i"] * one["gate", "g"], c)
        torch.testing.assert_close(one["gate", "o"] * torch.tanh(c), one["state", "h"])


def test_recording_ends_in_the_state_that_the_decoder_reaches(loaded):
    checkpoint = loaded("gru", num_layers=2)
    tokens = read(checkpoint)
    decoder = checkpoint.model.decoder()
    _, state = decoder.run(tokens[:, None], decoder.initial_state(1))
    record = record_gates(checkpoint, tokens)
    for mine, theirs in zip(record.final, state, strict=True):
        torch.testing.assert_close(mine["h"], theirs["h"])


def test_recording_can_begin_in_the_middle_of_a_text(loaded):
    checkpoint = loaded("lstm")
    tokens = read(checkpoint)
    whole = record_gates(checkpoint, tokens)
    first = record_gates(checkpoint, tokens[:10])
    rest = record_gates(checkpoint, tokens[10:], state=first.final)
    for left, right in zip(whole.recorded, rest.recorded, strict=True):
        torch.testing.assert_close(left.values[10:], right.values)


def test_the_heat_map_has_the_text_along_it_and_a_group_for_every_gate_and_state(loaded):
    checkpoint = loaded("lstm")
    record = record_gates(checkpoint, read(checkpoint))
    picture = gate_picture(record, checkpoint.cell, [3, 5])
    (heat,) = picture.panels
    assert isinstance(heat, HeatMap)
    assert list(heat.columns) == list(TEXT)
    assert [group.title for group in heat.groups] == [
        "i, input gate (sigmoid)",
        "f, forget gate (sigmoid)",
        "g, candidate (tanh)",
        "o, output gate (sigmoid)",
        "h, state",
        "c, state",
    ]
    assert all(list(group.rows) == ["3", "5", "mean"] for group in heat.groups)
    values = record.recorded[1].values
    assert list(heat.groups[1].values[0]) == values[:, 3].tolist()
    assert list(heat.groups[1].values[2]) == pytest.approx(values.mean(1).tolist())


def test_a_strangers_gates_go_by_their_own_names(loaded):
    checkpoint = loaded("mgu")
    record = record_gates(checkpoint, read(checkpoint))
    assert [heading(one, checkpoint.cell) for one in record.recorded] == [
        "f, gate (sigmoid)",
        "n, gate (tanh)",
        "h, state",
    ]


def test_the_most_varied_units_are_shown_unless_units_are_named(loaded):
    checkpoint = loaded("gru")
    tokens = read(checkpoint)
    _, data = gate_lab(checkpoint, tokens, GATE_OPTIONS.validate({"most": 3}))
    spread = record_gates(checkpoint, tokens).output.std(0)
    assert data["units"] == sorted(spread.topk(3).indices.tolist())
    _, data = gate_lab(checkpoint, tokens, GATE_OPTIONS.validate({"unit": "7,2-3"}))
    assert data["units"] == [7, 2, 3]
    assert len(data["gates"]["z"]["values"]) == 3
    assert len(data["gates"]["z"]["values"][0]) == len(TEXT)
    json.dumps(data, allow_nan=False)


def test_bytes_that_only_begin_a_character_are_columns_of_their_own(loaded):
    checkpoint = loaded("lstm", bytes=True)
    record = record_gates(checkpoint, read(checkpoint, "a好"))
    assert record.pieces == ["a", "", "", "好"]


# ------------------------------------------------------------------ step


@pytest.mark.parametrize("cell", CELLS)
def test_every_registered_cell_can_be_shown_step_by_step(loaded, cell):
    checkpoint = loaded(cell)
    record = record_step(checkpoint, read(checkpoint))
    units = most_changed(record, 3)
    data = json.loads(json.dumps(step_json(record, units), allow_nan=False))
    for unit in data["units"]:
        for state in unit["states"].values():
            assert state["kept"] + state["comes_in"] == pytest.approx(state["after"], abs=1e-5)
            assert state["share_kept"] * state["before"] == pytest.approx(state["kept"], abs=1e-5)
    assert step_picture(record, units, {}).panels


def test_an_lstm_keeps_what_its_forget_gate_says_and_takes_in_what_its_input_gate_says(loaded):
    checkpoint = loaded("lstm")
    record = record_step(checkpoint, read(checkpoint))
    gates = {name: gate.value[0] for name, gate in record.trace.gates.items()}
    passed = record.states["c"]
    torch.testing.assert_close(passed.share, gates["f"])
    torch.testing.assert_close(passed.kept, gates["f"] * passed.old)
    torch.testing.assert_close(passed.comes_in, gates["i"] * gates["g"])
    assert not bool(record.states["h"].share.any())


def test_a_gru_keeps_what_its_update_gate_says_and_a_plain_network_nothing(loaded):
    gru = record_step(loaded("gru"), read(loaded("gru")))
    torch.testing.assert_close(gru.states["h"].share, gru.trace.gates["z"].value[0])
    rnn = record_step(loaded("rnn"), read(loaded("rnn")))
    assert not bool(rnn.states["h"].share.any())
    torch.testing.assert_close(rnn.states["h"].comes_in, rnn.states["h"].new)


def test_a_step_in_the_text_is_the_last_step_of_the_text_before_it(loaded):
    checkpoint = loaded("lstm")
    tokens = read(checkpoint)
    early = record_step(checkpoint, tokens, place=5)
    assert early.pieces == list(TEXT[:5])
    for name, passed in record_step(checkpoint, tokens[:5]).states.items():
        torch.testing.assert_close(passed.new, early.states[name].new)


def test_the_next_characters_are_those_of_the_model(loaded):
    checkpoint = loaded("gru", num_layers=2)
    tokens = read(checkpoint)
    decoder = checkpoint.model.decoder()
    logits, _ = decoder.run(tokens[:, None], decoder.initial_state(1))
    best = torch.softmax(logits[-1, 0], 0).topk(5)
    record = record_step(checkpoint, tokens, layer=1)
    assert [text for text, _ in record.foretold] == [checkpoint.tokenizer.decode([i]) for i in best.indices.tolist()]
    assert [p for _, p in record.foretold] == pytest.approx(best.values.tolist(), rel=1e-4)


def test_the_picture_of_a_step_says_what_is_forgotten_what_comes_in_and_what_goes_out(loaded):
    checkpoint = loaded("lstm")
    picture, data = step_lab(checkpoint, read(checkpoint), STEP_OPTIONS.validate({"unit": "4,6"}))
    equations, words, units, following = picture.panels
    assert isinstance(equations, Lines)
    assert isinstance(words, Lines)
    assert isinstance(units, Table)
    assert isinstance(following, Table)
    assert equations.title == "Unit 4"
    assert equations.lines[1].startswith("f = σ(W_f·x + b_f + R_f·h) = σ(")
    assert equations.lines[1].endswith("forget gate")
    c = data["units"][0]["states"]["c"]
    line = next(line for line in words.lines if line.startswith("c:"))
    assert f"it keeps {100 * c['share_kept']:.0f} %" in line
    assert "forgets" in line
    assert "comes in" in line
    assert any("goes out" in line for line in words.lines)
    assert [row[0] for row in units.rows] == ["4", "6"]
    assert "reads !" in picture.note


# ------------------------------------------------------------------ what they are given


def test_units_are_read_as_people_write_them():
    assert chosen_units("all", 3) == [0, 1, 2]
    assert chosen_units("3, 7,5-6,7", 8) == [3, 7, 5, 6]
    for wrong in ("", "x", "-1", "1-", "3-1", "1.5"):
        with pytest.raises(UsageError, match="units"):
            chosen_units(wrong, 8)
    with pytest.raises(UsageError, match="no unit 8: the layer has 8, counted from 0"):
        chosen_units("8", 8)


def test_layers_count_from_one_and_the_last_is_meant_if_none_is_named():
    assert [chosen_layer(layer, 3) for layer in (None, 1, 3)] == [2, 0, 2]
    with pytest.raises(UsageError, match="no layer 4: the model has 3"):
        chosen_layer(4, 3)


def test_unknown_characters_are_named_on_stderr(loaded, capsys):
    tokens_of(loaded("lstm"), "Zoë")
    assert "does not know 'ë' (U+00EB)" in capsys.readouterr().err


def test_a_step_deep_in_a_long_text_needs_no_memory_for_the_text(loaded):
    """The text before the step is read in parts; the step is the same."""
    checkpoint = loaded("lstm")
    text = TEXT * 60
    assert len(text) > READ_AT_ONCE
    record = record_step(checkpoint, read(checkpoint, text))
    decoder = checkpoint.model.decoder()
    _, state = decoder.run(read(checkpoint, text)[:, None], decoder.initial_state(1))
    torch.testing.assert_close(record.states["c"].new, state[0]["c"][0])


def test_texts_that_cannot_be_shown_are_refused(loaded, monkeypatch):
    with pytest.raises(CelloquyError, match="the text has 4,001 tokens, and at most 4,000 can be shown"):
        check_length(range(4_001))
    with pytest.raises(CelloquyError, match="text is empty"):
        given_text("")
    with pytest.raises(UsageError, match="no character 99"):
        record_step(loaded("rnn"), read(loaded("rnn")), place=99)


def test_pieces_of_a_text_make_the_text(loaded):
    for checkpoint in (loaded("lstm"), loaded("lstm", bytes=True)):
        assert "".join(pieces_of(checkpoint.tokenizer, read(checkpoint, "Good 你好!"))) == "Good 你好!"

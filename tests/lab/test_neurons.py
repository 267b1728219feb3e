"""Features of a text, and units that follow them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cells.errors import CelloquyError, UsageError
from checkpoints.loading import load_checkpoint
from repl.lab.features import FEATURES, present
from repl.lab.neurons import (
    ROWS,
    SHORTEST,
    WARM_UP,
    Correlation,
    find_followers,
    neuron_lab,
    snippet,
    state_units,
    token_places,
)
from repl.lab.options import NEURON_OPTIONS

BY_NAME = {feature.name: feature for feature in FEATURES}


def marks(name, text):
    """A yes-no feature as a string of 1 and 0."""
    return "".join(str(int(value)) for value in BY_NAME[name].compute(text))


def counts(name, text):
    return BY_NAME[name].compute(text).astype(int).tolist()


# ------------------------------------------------------------------ features


def test_quotes_are_inside_from_the_opening_mark_to_before_the_closing_one():
    assert marks("inside quotes", 'a "bc" d') == "00111000"
    assert marks("inside quotes", "“a” «b»") == "1100110"
    assert marks("inside quotes", 'a "b\n\nc" d') == "0011000111"


def test_a_quote_that_is_never_closed_ends_some_time():
    values = BY_NAME["inside quotes"].compute('"' + "a" * 3000)
    assert values[500] == 1.0
    assert values[2000] == 0.0


def test_brackets_nest():
    assert marks("inside brackets", "a(b[c]d)e") == "011111100"


def test_positions_count_from_the_last_end():
    assert counts("position in line", "ab\ncd") == [1, 2, 0, 1, 2]
    assert counts("position in word", "ab, cd") == [1, 2, 0, 0, 1, 2]
    assert counts("position in sentence", "Oh! No.") == [1, 2, 0, 1, 2, 3, 0]
    assert counts("since punctuation", "a,bc") == [1, 0, 1, 2]
    assert counts("line of paragraph", "a\nb\n\nc") == [0, 1, 1, 2, 0, 0]


def test_the_first_line_after_a_speakers_name_is_marked():
    text = "ROMEO:\nAy me!\nMore.\n\nFirst Citizen:\nWe\n"
    line = marks("after a speaker's name", text)
    assert line == "000000" + "1" * 7 + "0" * 8 + "0" * 14 + "111" + "0"


def test_a_colon_in_a_sentence_makes_no_speaker():
    assert set(marks("after a speaker's name", "He said thus: go.\nI went.\n")) == {"0"}


def test_words_of_capitals_count_from_the_second_letter():
    assert marks("word of capitals", "ROMEO: I am ROmeo") == "01111000000001000"


def test_indentation_counts_blanks_at_the_beginning_of_a_line():
    assert counts("indentation", "a\n  b c\n\td") == [0, 0, 1, 2, 2, 2, 2, 0, 8, 8]


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_no_feature_looks_ahead(feature):
    """The value at a place is the same whatever comes after: a state cannot follow anything else."""
    text = (
        'JULIET:\nO "Romeo" (why)\n\n  Be 2 not; so. “Or if” THOU\nwilt not! "never\n\nclosed" [yes] «no»\nANNE:\nHm\n'
    )
    whole = feature.compute(text)
    for end in range(1, len(text)):
        # a speaker's name is only known to be one at the end of its line, where the mark begins
        np.testing.assert_array_equal(feature.compute(text[:end])[: end - 1], whole[: end - 1])


def test_features_that_do_not_occur_are_left_out():
    names = [feature.name for feature, _ in present("plain words without any marks", 1)]
    assert "inside quotes" not in names
    assert "digit" not in names
    assert "position in word" in names


# ------------------------------------------------------------------ units


def test_correlation_is_pearsons():
    generator = np.random.default_rng(0)
    states, features = generator.normal(size=(500, 6)), generator.normal(size=(500, 3))
    states[:, 0] += features[:, 1]
    states[:, 5] = 4.2
    gathered = Correlation(6, 3)
    for start in range(0, 500, 130):
        part = slice(start, start + 130)
        gathered.add(torch.from_numpy(states[part]), torch.from_numpy(features[part]))
    expected = np.corrcoef(states[:, :5].T, features.T)[5:, :5]
    np.testing.assert_allclose(gathered.r()[:, :5].numpy(), expected, atol=1e-12)
    assert bool((gathered.r()[:, 5] == 0).all()), "a unit that never moves follows nothing"


@pytest.fixture(scope="module")
def capitals(save, registry, tmp_path_factory):
    """A checkpoint whose unit 5 is made to say whether a capital was read, and whose unit 2 counts along the line."""
    folder = tmp_path_factory.mktemp("capitals")
    checkpoint = load_checkpoint(save("indrnn", "capitals", folder, hidden=8), registry=registry)
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    layer = model.recurrent_layers[0]
    with torch.no_grad():
        model.embedding.weight[:, :2] = 0.0
        for character, number in zip(tokenizer.characters, range(1, 200), strict=False):
            model.embedding.weight[number, 0] = float(character.isupper())
            model.embedding.weight[number, 1] = -1000.0 if character == "\n" else 0.01
        layer.W[[5, 2]] = 0.0
        layer.W[5, 0] = layer.W[2, 1] = 1.0
        layer.b[[5, 2]] = 0.0
        layer.p["u"][5], layer.p["u"][2] = 0.0, 1.0
    return checkpoint


@pytest.fixture(scope="module")
def play():
    """A text with lines of many lengths."""
    generator = np.random.default_rng(1)
    words = ["Romeo", "night", "good", "Come", "hither", "boy", "where", "Art", "thou", "O"]
    lines = [" ".join(generator.choice(words, size=generator.integers(1, 9))) for _ in range(400)]
    return "\n".join(lines)


def test_units_that_were_made_to_follow_features_are_found(capitals, play):
    found = {one.feature.name: one for one in find_followers(capitals, play, most=1)}
    assert (found["capital"].unit.state, found["capital"].unit.unit) == ("h", 5)
    assert found["capital"].correlation > 0.999
    assert found["position in line"].unit.unit == 2
    assert found["position in line"].correlation > 0.99


def test_the_best_followed_feature_comes_first_and_only_wanted_ones_come_at_all(capitals, play):
    rates = [abs(one.correlation) for one in find_followers(capitals, play, most=1)]
    assert rates == sorted(rates, reverse=True)
    only = find_followers(capitals, play, ["capital"], most=3)
    assert {one.feature.name for one in only} == {"capital"}
    assert len(only) == 3


def test_units_are_judged_on_the_half_of_the_text_that_did_not_choose_them(capitals, play):
    """r over the second sixteen of the thirty-two parts, each without its first 64 tokens, written out."""
    (one,) = find_followers(capitals, play, ["vowel"], most=1)
    length = len(play) // ROWS
    states, values = [], []
    vowels = BY_NAME["vowel"].compute(play)
    for row in range(ROWS // 2, ROWS):
        part = slice(row * length, (row + 1) * length)
        tokens = torch.tensor(capitals.tokenizer.encode(play[part]))
        hidden, _ = capitals.model.hidden(tokens[:, None])
        states.append(hidden[WARM_UP:, 0, one.unit.unit].detach().numpy())
        values.append(vowels[part][WARM_UP:])
    expected = np.corrcoef(np.concatenate(states), np.concatenate(values))[0, 1]
    assert one.correlation == pytest.approx(expected, abs=1e-6)
    assert one.found != pytest.approx(expected, abs=1e-6)


def test_a_snippet_shows_the_unit_on_its_text(capitals, play):
    (one,) = find_followers(capitals, play, ["capital"], most=1)
    panel = snippet(capitals, play, one)
    assert "".join(panel.pieces) in play
    for piece, value in zip(panel.pieces, panel.values, strict=True):
        assert (value > 0.5) == piece.isupper()


def test_the_picture_lists_each_feature_once_and_shows_the_best(capitals, play):
    picture, data = neuron_lab(capitals, play, NEURON_OPTIONS.validate({"most": 2, "show": 2}))
    table, *shown = picture.panels
    assert len(shown) == 2
    assert [row[0] for row in table.rows].count("capital") == 1
    assert len(table.rows) == len(data["followers"])
    assert data["followers"][0]["correlation"] == pytest.approx(float(table.rows[0][2]), abs=1e-3)


def test_all_states_of_all_layers_take_part(loaded, play):
    checkpoint = loaded("lstm", num_layers=2)
    units = state_units(checkpoint)
    assert len(units) == 2 * 2 * 12
    assert {unit.state for unit in units} == {"h", "c"}
    found = find_followers(checkpoint, play, ["vowel", "blank"], most=48)
    assert {one.unit for one in found} == set(units)


def test_bytes_stand_at_the_character_that_they_complete(loaded):
    checkpoint = loaded("lstm", bytes=True)
    tokens = torch.tensor(checkpoint.tokenizer.encode("a好b"))
    assert token_places(checkpoint, tokens).tolist() == [0, 0, 0, 1, 2]


def test_texts_and_features_that_cannot_be_used_are_refused(capitals, play):
    with pytest.raises(CelloquyError, match=f"at least {SHORTEST:,} are needed"):
        find_followers(capitals, "too short")
    with pytest.raises(UsageError, match="there is no feature 'colour'; there are: inside quotes"):
        find_followers(capitals, play, ["colour"])
    with pytest.raises(CelloquyError, match="none of the features occurs often enough"):
        find_followers(capitals, play, ["inside quotes"])

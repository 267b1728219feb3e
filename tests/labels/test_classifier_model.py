"""The classifier's model: padding changes nothing, and every cell reads forwards and backwards."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cells.classifier import PADDING, ClassifierConfig, TextClassifier, turned_places
from cells.errors import CelloquyError, UsageError
from cells.initialise import initialise
from plugins.registry import load_plugins

LENGTHS = (1, 7, 4, 9, 2)
CELLS = sorted(load_plugins().cells)


def made(cell: str, **sizes: Any) -> TextClassifier:
    options = {"hidden_size": 6, "num_layers": 2, "embedding_size": 5, "bidirectional": True, **sizes}
    model = TextClassifier(load_plugins().create_cell(cell), ClassifierConfig(11, 3, **options))
    initialise(model, "default", 1)
    return model.eval()


def texts() -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(5)
    return [torch.randint(0, 11, (length,), generator=draw) for length in LENGTHS]


def side_by_side(texts: list[torch.Tensor]) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(texts, padding_value=PADDING)


@pytest.mark.parametrize("pool", ["last", "max", "mean"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_text_gets_in_a_batch_what_it_gets_alone(cell: str, pool: str) -> None:
    model = made(cell, pool=pool)
    for training in (False, True):  # kernels differ
        model.train(training)
        together = model(side_by_side(texts()))
        alone = torch.cat([model(text[:, None]) for text in texts()])
        assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_it_is_the_layer_with_mask_and_reverse(cell: str) -> None:
    """The same as the engine's own masked run, forwards and backwards, final states into the readout."""
    model = made(cell, num_layers=1)
    tokens = side_by_side(texts())
    mask = tokens >= 0
    x = model.embedding(tokens.clamp(min=0))
    forwards, backwards = model.recurrent_layers
    out = next(iter(model.cell.state))
    _, ahead = forwards(x, mask=mask)
    _, back = backwards(x, mask=mask, reverse=True)
    expected = model.readout(torch.cat([ahead[out], back[out]], -1))
    assert torch.allclose(model(tokens), expected, atol=1e-5)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_gradients_do_not_see_the_padding(cell: str) -> None:
    model = made(cell).train()
    batch = side_by_side(texts())
    longer = torch.cat([batch, torch.full((5, batch.shape[1]), PADDING)])
    gradients = []
    for tokens in (batch, longer):
        model.zero_grad()
        model(tokens).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_residual_paths_and_normalisation_stand_around_the_layers() -> None:
    model = made("gru", num_layers=3, residual=True, norm="layer")
    assert [block.residual for block in model.blocks] == [False, True, True]
    assert model(side_by_side(texts())).shape == (5, 3)


def test_turning_twice_is_nothing() -> None:
    lengths = torch.tensor(LENGTHS)
    places = turned_places(9, lengths)
    assert torch.equal(places.gather(0, places), torch.arange(9)[:, None].expand(9, 5))
    assert places[:4, 2].tolist() == [3, 2, 1, 0]


@pytest.mark.parametrize(
    "wrong", [{"classes": 1}, {"pool": "sum"}, {"dropout": 1.0}, {"norm": "batch"}, {"hidden_size": 0}]
)
def test_impossible_sizes_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ClassifierConfig(**{"vocabulary_size": 5, "classes": 2, **wrong})
    with pytest.raises(CelloquyError):
        ClassifierConfig.from_json({"vocabulary_size": 5, "classes": 2, "heads": 8})

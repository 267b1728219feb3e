"""Import and export: the same logits as torch's own modules, weights only, and every refusal in one line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cells.errors import CelloquyError, UsageError
from checkpoints.exchange import export_weights, import_weights
from checkpoints.finding import SHIPPED
from checkpoints.header import read_header
from checkpoints.loading import load_checkpoint

CHARACTERS = ["b", "\n", "a", " ", "é"]
MODULES: dict[str, type[nn.Module]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class Plain(nn.Module):
    """What most tutorials build."""

    def __init__(self, arch: str, size: int = 5, embed: int = 6, hidden: int = 8, layers: int = 1, **more: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, embed)
        self.rnn = MODULES[arch](embed, hidden, num_layers=layers, **more)
        self.linear = nn.Linear(hidden, size)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.rnn(self.embedding(tokens))[0])
        return logits


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """``saved(module)``: its state dictionary in a file, and the vocabulary beside it."""
    (tmp_path / "vocabulary.json").write_text(json.dumps(CHARACTERS))

    def save(state: Any, name: str = "model.safetensors") -> Path:
        state = state.state_dict() if isinstance(state, nn.Module) else state
        save_file({key: value.clone() for key, value in state.items()}, tmp_path / name)
        return tmp_path / name

    return save


def run_import(file: Path, **options: Any) -> Path:
    return import_weights(file, str(file.parent / "vocabulary.json"), "mine", file.parent / "out", **options)


@torch.no_grad()
def logits_of(path: Path, text: str) -> Tensor:
    """The checkpoint's logits [T, V] in the order of CHARACTERS."""
    loaded = load_checkpoint(path)
    tokens = torch.tensor(loaded.tokenizer.encode(text)).unsqueeze(1)
    order = loaded.tokenizer.encode("".join(CHARACTERS))
    return loaded.model(tokens)[0][:, 0, order]


@pytest.mark.parametrize(
    ("arch", "more"),
    [
        ("rnn", {}),
        ("lstm", {}),
        ("gru", {}),
        ("lstm", {"layers": 3}),
        ("gru", {"layers": 2, "bias": False}),
        ("rnn", {"nonlinearity": "relu"}),
    ],
)
def test_an_imported_model_gives_the_logits_of_its_own_modules(
    saved: Callable[..., Path], arch: str, more: dict[str, Any]
) -> None:
    torch.manual_seed(1)
    module = Plain(arch, **more)
    path = run_import(saved(module), arch=arch, activation=more.get("nonlinearity", "tanh"))
    assert path.name == f"mine.{arch}.safetensors"
    text = "ab é\nbbaa  é" * 5
    with torch.no_grad():
        wanted = module(torch.tensor([CHARACTERS.index(c) for c in text]))
    assert torch.allclose(logits_of(path, text), wanted, atol=1e-5)


def test_the_unknown_token_that_the_model_lacked_has_no_probability(saved: Callable[..., Path]) -> None:
    loaded = load_checkpoint(run_import(saved(Plain("gru"))))
    with torch.no_grad():
        probabilities = loaded.model(torch.tensor([[1, 2, 3]]).T)[0].softmax(-1)
    assert loaded.tokenizer.unknown_id == 0
    assert float(probabilities[..., 0].max()) == 0.0


def test_other_names_for_the_parts_are_understood(saved: Callable[..., Path]) -> None:
    state = Plain("lstm", embed=8).state_dict()  # embedding and readout of one shape
    names = {"embedding.weight": "module.encoder.weight", "linear.weight": "module.decoder.weight"}
    names |= {"linear.bias": "module.decoder.bias"}
    renamed = {names.get(key, f"module.{key}"): value for key, value in state.items()}
    first = run_import(saved(state))
    text = "ab é"
    logits = logits_of(first, text)
    first.unlink()
    assert torch.equal(logits_of(run_import(saved(renamed)), text), logits)


def test_an_object_of_ids_and_an_unknown_token_are_understood(saved: Callable[..., Path], tmp_path: Path) -> None:
    file = saved(Plain("rnn", size=6))
    (tmp_path / "vocabulary.json").write_text(json.dumps({"<unk>": 5, **{c: n for n, c in enumerate(CHARACTERS)}}))
    loaded = load_checkpoint(run_import(file))
    state = load_file(file)
    assert torch.equal(loaded.model.embedding.weight[0], state["embedding.weight"][5])
    assert loaded.tokenizer.decode(loaded.tokenizer.encode("é\n")) == "é\n"


def test_bytes_need_no_vocabulary_file(saved: Callable[..., Path], tmp_path: Path) -> None:
    path = import_weights(saved(Plain("gru", size=256)), "bytes", "mine", tmp_path)
    assert read_header(path).tokenizer == {"kind": "byte"}


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_an_exported_checkpoint_gives_its_logits_in_torchs_modules(cell: str, tmp_path: Path) -> None:
    loaded = load_checkpoint(SHIPPED / f"shakespeare.{cell}.safetensors")
    weights, vocabulary = export_weights(loaded, tmp_path)
    tokens = json.loads(vocabulary.read_text(encoding="utf-8"))["tokens"]
    state = load_file(weights)
    size, embed = state["embedding.weight"].shape
    module = Plain(cell, size, embed, state["linear.weight"].shape[1])
    module.load_state_dict(state)
    text = "ROMEO.\nO, she doth teach the torches to burn bright!"
    with torch.no_grad():
        theirs = module(torch.tensor([tokens.index(c) for c in text]))
        ours = loaded.model(torch.tensor(loaded.tokenizer.encode(text)).unsqueeze(1))[0][:, 0]
    assert torch.allclose(theirs, ours, atol=2e-5)  # logits up to 20, sums of hundreds of products
    again = import_weights(weights, str(vocabulary), "again", tmp_path)
    reread = load_checkpoint(again)
    with torch.no_grad():
        back = reread.model(torch.tensor(loaded.tokenizer.encode(text)).unsqueeze(1))[0][:, 0]
    assert torch.allclose(back, ours, atol=1e-5)
    assert reread.tokenizer.to_json() == loaded.tokenizer.to_json()


def changed(**tensors: Tensor | None) -> dict[str, Tensor]:
    """The state of an LSTM with some tensors changed, added, or removed."""
    state = {**Plain("lstm").state_dict(), **{key.replace("__", "."): value for key, value in tensors.items()}}
    return {key: value for key, value in state.items() if value is not None}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (lambda: Plain("lstm", bidirectional=True).rnn.state_dict(), "two directions"),
        (lambda: nn.LSTM(6, 8, proj_size=4).state_dict(), "neither nn.RNN"),
        (lambda: {"linear.weight": torch.zeros(3, 3)}, "no recurrent layer"),
        (lambda: changed(rnn__bias_hh_l0=torch.zeros(7)), "bias_hh_l0 is [7], not [32]"),
        (lambda: changed(rnn__weight_hh_l0=torch.zeros(9, 8)), "neither nn.RNN"),
        (
            lambda: changed(rnn__weight_ih_l0=torch.zeros(32, 0), embedding__weight=torch.zeros(5, 0)),
            "not two matrices",
        ),
        (lambda: Plain("rnn", layers=300).state_dict(), "300 layers"),
        (lambda: changed(linear__weight=torch.zeros(5, 9)), "is [5, 9], not [5, 8]"),
        (lambda: changed(linear__bias=torch.zeros(4)), "is [4], not [5]"),
        (lambda: changed(attention__weight=torch.zeros(5, 8)), "one embedding and one linear readout"),
        (lambda: changed(linear__weight=None, linear__bias=None, embedding__weight=None), "not nothing"),
        (lambda: changed(embedding__weight=torch.zeros(5, 6, dtype=torch.int64)), "real numbers"),
        (lambda: changed(linear__bias=torch.full((5,), float("nan"))), "not a finite number"),
        (lambda: Plain("gru", size=4).state_dict(), "4 tokens, and the vocabulary 5"),
    ],
)
def test_what_is_no_such_model_is_refused_in_one_line(
    saved: Callable[..., Path], state: Callable[[], Any], words: str
) -> None:
    with pytest.raises(CelloquyError) as refused:
        run_import(saved(state()))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_architecture_that_the_shapes_contradict_is_refused(saved: Callable[..., Path]) -> None:
    with pytest.raises(CelloquyError, match="holds an LSTM"):
        run_import(saved(Plain("lstm")), arch="gru")


@pytest.mark.parametrize(
    ("vocabulary", "words"),
    [
        ('["a", "a"]', "stands twice"),
        ('["a", "bc"]', "is not one character"),
        ('{"a": 1, "b": 3}', "not 0, 1, 2"),
        ('{"a": "x"}', "not 0, 1, 2"),
        ("[1, 2]", "must be a JSON list"),
        ("[]", "must be a JSON list"),
        ('["<unk>", "\ufffd", "a"]', "both the unknown token"),
        ("nonsense", "vocabulary.json: it is not JSON: "),
    ],
)
def test_a_vocabulary_that_is_none_is_refused_in_one_line(
    saved: Callable[..., Path], tmp_path: Path, vocabulary: str, words: str
) -> None:
    file = saved(Plain("rnn"))
    (tmp_path / "vocabulary.json").write_text(vocabulary, encoding="utf-8")
    with pytest.raises(CelloquyError) as refused:
        run_import(file)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "pytorch_model.bin", "model.ckpt"])
def test_a_pickle_is_not_even_opened_and_the_way_around_it_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()  # opening it would fail otherwise than by this message
    with pytest.raises(CelloquyError, match="weights_only=True") as refused:
        import_weights(tmp_path / name, "bytes", "mine", tmp_path)
    assert "can run code" in str(refused.value)


def test_the_conversion_that_the_message_gives_works(
    tmp_path: Path, saved: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = Plain("gru")
    monkeypatch.chdir(tmp_path)
    torch.save(module.state_dict(), "model.pt")
    saved({"unused": torch.zeros(1)})
    with pytest.raises(CelloquyError) as refused:
        import_weights(Path("model.pt"), "vocabulary.json", "mine")
    code = str(refused.value).partition('python -c "')[2].removesuffix('"')
    exec(code, {})
    assert run_import(tmp_path / "model.safetensors").name == "mine.gru.safetensors"


def test_nothing_is_overwritten_and_names_are_checked(saved: Callable[..., Path], tmp_path: Path) -> None:
    file = saved(Plain("rnn"))
    path = run_import(file)
    with pytest.raises(CelloquyError, match="exists"):
        run_import(file)
    assert read_header(path).family == "mine"
    with pytest.raises(UsageError, match="name must be"):
        import_weights(file, "bytes", "../x", tmp_path)
    with pytest.raises(CelloquyError, match="there is no file"):
        import_weights(tmp_path / "gone.safetensors", "bytes", "mine", tmp_path)


def test_a_cell_that_torch_has_not_is_refused_and_onnx_is_offered(tmp_path: Path) -> None:
    from cells.model import LanguageModel, ModelConfig
    from checkpoints.plain_weights import state_dictionary
    from plugins.registry import default_registry

    model = LanguageModel(default_registry().create_cell("mgu"), ModelConfig(5, 8))
    with pytest.raises(CelloquyError, match="--onnx can hold it"):
        state_dictionary(model)
    normal = LanguageModel(default_registry().create_cell("gru"), ModelConfig(5, 8, norm="layer"))
    with pytest.raises(CelloquyError, match="normalisation"):
        state_dictionary(normal)


def test_a_long_vocabulary_with_a_token_that_stands_twice_is_refused_in_a_second(
    saved: Callable[..., Path], tmp_path: Path
) -> None:
    tokens = [f"t{number}" for number in range(100_000)]
    (tmp_path / "vocabulary.json").write_text(json.dumps([*tokens, tokens[-1]]))
    file = saved(Plain("rnn"))
    began = time.process_time()
    with pytest.raises(CelloquyError, match="'t99999' stands twice"):
        run_import(file)
    assert time.process_time() - began < 1

"""The five commands as people call them: a picture or JSON on standard output, one line for what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from repl.cli import COMMANDS, cli

LAB = ("gradients", "gates", "neurons", "step", "compare")
CORPUS = "".join(f'Line {number} of a play.\nROMEO:\nWell, \'tis "so"!\n\n' for number in range(120))


@pytest.fixture
def call(home, capsys, monkeypatch):
    """Run the command line in this process: exit status, standard output, standard error."""
    monkeypatch.setenv("COLUMNS", "90")

    def run(*arguments):
        with pytest.raises(SystemExit) as leaving:
            cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return leaving.value.code or 0, out, err

    return run


def test_the_labs_commands_stand_in_the_table():
    assert set(LAB) <= set(COMMANDS)


def test_help_of_the_lab_imports_no_torch(tmp_path):
    code = (
        "import sys\nfrom repl.cli import cli\n"
        f"for name in {LAB!r}:\n"
        "    try:\n        cli.main([name, '--help'])\n"
        "    except SystemExit as leaving:\n        assert not leaving.code\n"
        "print('torch' in sys.modules, 'PIL' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(root), "CELLOQUY_LOAD_PLUGINS": "", "PATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == "False False", done.stderr


# ------------------------------------------------------------------ gradients


def test_gradients_alone_shows_vanishing_exploding_and_carrying(call):
    code, out, _ = call("gradients", "--length", 60, "--hidden", 24, "--batch", 4)
    assert code == 0
    verdicts = {line.rsplit(None, 1)[0].split("  ")[0]: line.rsplit(None, 1)[1] for line in table_of(out, "network")}
    assert verdicts["rnn"] == "vanishes"
    assert verdicts["rnn ×6"] == "explodes"
    assert verdicts["lstm f=5"] == "carries"


def table_of(out, heading):
    """The rows of the table whose first heading is given."""
    lines = out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(heading))
    rows = lines[start + 1 :]
    return rows[: next((number for number, line in enumerate(rows) if not line.strip()), len(rows))]


def test_gradients_as_json_holds_the_curves(call):
    code, out, _ = call(
        *("gradients", "--cell", "rnn,gru", "--scale", "1,3", "--length", 12, "--hidden", 8, "--batch", 3, "--json")
    )
    data = json.loads(out)
    assert code == 0
    studies = data["groups"][0]["studies"]
    assert [study["label"] for study in studies] == ["rnn", "rnn ×3", "gru", "gru ×3"]
    assert all(len(study["states"][0]["median"]) == 13 for study in studies)
    assert all(len(study["log10_largest_singular_value"]) == 12 for study in studies)


def test_the_same_seed_measures_the_same(call):
    arguments = ("gradients", "--cell", "lstm", "--length", 8, "--hidden", 8, "--json", "--seed")
    one, again, other = (call(*arguments, seed)[1] for seed in (3, 3, 4))
    assert one == again != other


@pytest.mark.parametrize("cure", ["activation", "init", "norm", "residual", "gates", "all"])
def test_every_cure_is_drawn(call, cure, tmp_path):
    file = tmp_path / "cure.svg"
    code, out, err = call(*("gradients", "--cure", cure, "--length", 12, "--hidden", 8, "--batch", 3, "--out", file))
    assert code == 0, err
    assert err.endswith(f"wrote {file}\n")
    assert "k, steps back" in out
    assert ("layer (the loss is above the last)" in out) == (cure in ("residual", "all"))
    assert file.read_text("utf-8").startswith("<svg ")


def test_clipping_is_what_lets_a_network_train(call):
    code, out, _ = call("gradients", "--cure", "clipping", "--json")
    without, clipped = json.loads(out)["training"]
    assert code == 0
    assert without["loss"][-1] is None
    assert len(clipped["loss"]) == 100
    assert clipped["loss"][-1] < 0.1 < 3 < clipped["loss"][0]
    assert max(clipped["gradient_norm"]) > 1.0


def test_switches_and_clipping_go_together(call):
    code, out, _ = call("gradients", "--cell", "rnn", "--clip", 0.5, "--length", 5, "--hidden", 8)
    assert code == 0
    assert "rnn, no clipping" in out
    assert "rnn, clip 0.5" in out


def test_a_familys_gradients_are_measured_untrained_and_trained(call):
    code, out, _ = call("gradients", "tiny", "--length", 10, "--batch", 3, "--json")
    data = json.loads(out)["studies"]
    assert code == 0
    assert [one["label"] for one in data] == [
        f"{cell} {state}" for cell in ("rnn", "lstm", "gru") for state in ("untrained", "trained")
    ]
    assert data[0]["states"] != data[1]["states"]
    assert [
        one["label"] for one in json.loads(call("gradients", "tiny.gru", "--length", 5, "--json")[1])["studies"]
    ] == [
        "gru untrained",
        "gru trained",
    ]
    some = json.loads(call("gradients", "tiny", "--cell", "lstm,rnn", "--length", 5, "--json")[1])["studies"]
    assert [one["network"] for one in some] == ["tiny.lstm"] * 2 + ["tiny.rnn"] * 2


def test_gradients_can_be_measured_on_a_text(call, home):
    (home / "text.txt").write_text(CORPUS, "utf-8")
    code, out, _ = call("gradients", "tiny.rnn", "--text", home / "text.txt", "--length", 9, "--batch", 2, "--json")
    assert code == 0
    assert len(json.loads(out)["studies"][0]["states"][0]["median"]) == 10
    (home / "short.txt").write_text("short", "utf-8")
    code, _, err = call("gradients", "tiny.rnn", "--text", home / "short.txt", "--length", 9)
    assert (code, err) == (
        1,
        f"error: {home / 'short.txt'} has 5 tokens and 11 are needed: give a shorter --length\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cell", "nothing"], "there is no cell 'nothing'"),
        (["--init", "magic"], "init must be one of"),
        (["--scale", "big"], "scale must be numbers separated by commas, not 'big'"),
        (["--layers", "0"], "layers must be whole numbers from 1"),
        (["--norm", "group"], "norm must be one or more of none, layer, batch"),
        (["--residual", "maybe"], "residual must be one or more of off, on"),
        (["--bias", "f"], "bias must be GATE=NUMBER, as in f=5, not 'f'"),
        (["--bias", "f=5"], "cell rnn has no gate 'f'; it has h"),
        (["--cure", "gates", "--scale", "2"], "--scale does not go with --cure"),
        (["--text", "x.txt"], "--text does not go with no checkpoint"),
        (["tiny", "--init", "he"], "--init does not go with a checkpoint"),
        (["--out", "picture.gif"], "out must end in .svg, .png, .html"),
        (["nobody"], "there is no checkpoint 'nobody'"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_wrong_gradient_switches_are_named(call, arguments, message):
    code, out, err = call("gradients", *arguments)
    assert code in (1, 2)
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


# ------------------------------------------------------------------ gates, step, neurons


def test_gates_are_drawn_along_the_text(call):
    code, out, err = call("gates", "tiny.lstm", "Good night!", "--unit", "0,3")
    assert (code, err) == (0, "")
    assert "Good·night!" in out
    for heading in ("i, input gate (sigmoid)", "f, forget gate (sigmoid)", "h, state", "c, state"):
        assert heading in out


def test_gates_read_standard_input_where_no_text_stands(call, monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("Good 你!".encode())))
    code, out, _ = call("gates", "tiny", "--cell", "gru", "--json")
    data = json.loads(out)
    assert code == 0
    assert data["pieces"] == list("Good 你!")
    assert list(data["gates"]) == ["r", "z", "n"]
    assert data["cell"] == "gru"


def test_a_step_is_shown_as_equations(call):
    code, out, _ = call("step", "tiny.gru", "Good", "--unit", "2", "--at", 3)
    assert code == 0
    assert "Step 3: the layer has read Go and now reads o." in out
    assert "h' = n + z·(h − n) = " in out
    assert "What comes next, by the whole model" in out


def test_a_step_as_json(call):
    data = json.loads(call("step", "tiny.lstm", "Good", "--most", 2, "--json")[1])
    assert data["step"] == 4
    assert data["reads"] == "d"
    assert len(data["units"]) == 2
    assert sum(one["probability"] for one in data["next"]) <= 1.0


def test_neurons_are_listed_and_shown(call, home):
    (home / "play.txt").write_text(CORPUS, "utf-8")
    code, out, _ = call("neurons", "tiny.lstm", home / "play.txt", "--show", 1, "--most", 1)
    assert code == 0
    assert "position in line" in out
    assert " follows: " in out
    data = json.loads(call("neurons", "tiny.lstm", home / "play.txt", "--feature", "blank", "--json")[1])
    assert {one["feature"] for one in data["followers"]} == {"blank"}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["gates", "tiny.lstm", ""], 1, "the text is empty"),
        (["gates", "tiny.lstm", "a", "--layer", "2"], 2, "there is no layer 2: the model has 1"),
        (["gates", "tiny.lstm", "a", "--unit", "99"], 2, "there is no unit 99: the layer has 12"),
        (["step", "tiny.lstm", "a", "--at", "2"], 2, "there is no character 2: the text has 1"),
        (["step", "tiny.lstm", "a", "--out", "no/p.svg"], 1, "the folder no does not exist"),
        (["neurons", "tiny.lstm", "missing.txt"], 1, "missing.txt: there is no such file"),
        (["compare", "missing.txt", "--steps", "1"], 1, "missing.txt"),
        (["compare", "missing.txt", "--cell", "rnn,rnn"], 2, "cell must name each cell once"),
        (["compare", "missing.txt", "--val", "0"], 2, "val must be above 0"),
    ],
    ids=lambda value: " ".join(value[:1] + value[-2:]) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_one_line(call, arguments, status, message):
    code, out, err = call(*arguments)
    assert code == status
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


# ------------------------------------------------------------------ compare

QUICK = ("--hidden", 8, "--embed", 4, "--batch", 4, "--bptt", 16, "--threads", "1", "--precision", "fp32")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "play.txt"
    path.write_text(CORPUS, "utf-8")
    return path


def test_cells_are_compared_by_steps_with_a_band_over_seeds(call, corpus, home):
    code, out, err = call(
        *("compare", corpus, "--cell", "gru,rnn", "--steps", 12, "--seeds", 2, "--keep", home / "kept", *QUICK)
    )
    assert code == 0, err
    assert "Validation loss against time" in out
    assert "Validation loss against text read" in out
    rows = table_of(out, "cell")
    assert [row.split()[0] for row in rows] == ["gru", "rnn"]
    assert "between seeds" in out
    assert "rnn writes" in out
    kept = sorted(path.name for path in (home / "kept").glob("*.safetensors"))
    assert kept == [f"compare-{seed}.{cell}.safetensors" for seed in (1, 2) for cell in ("gru", "rnn")]


def test_classifiers_are_compared_by_their_loss_on_a_text_and_write_none(call, tmp_path):
    rows = [f"{'good' if number % 2 else 'bad'} play {number},{number % 2}" for number in range(80)]
    (tmp_path / "reviews.csv").write_text("\n".join(["text,label", *rows]), "utf-8")
    sizes = ("--hidden", 4, "--batch", 8, "--threads", "1", "--precision", "fp32")
    code, out, err = call(
        *("compare", tmp_path / "reviews.csv", "--task", "classify", "--cell", "rnn,gru", "--steps", 2, *sizes)
    )
    assert code == 0, err
    assert "nats a text" in out
    assert "bits a text" in out
    assert [row.split()[0] for row in table_of(out, "cell")] == ["rnn", "gru"]
    assert "writes" not in out


def test_a_comparison_as_json_tells_of_equal_conditions(call, corpus):
    code, out, _ = call("compare", corpus, "--cell", "rnn,lstm", "--steps", 10, "--json", "--sample", 0, *QUICK)
    data = json.loads(out)
    assert code == 0
    assert data["conditions"]["steps"] == 10
    for run in data["runs"]:
        last = run["evaluations"][-1]
        assert last["step"] == 10
        assert last["tokens"] == pytest.approx(10 * 4 * 16)
        assert run["best_val_loss"] == min(one["loss"] for one in run["evaluations"])
        assert run["sample"] == ""
    assert data["runs"][0]["parameters"] < data["runs"][1]["parameters"]
    assert not list(Path.cwd().glob("compare*")), "what is not kept leaves nothing behind"

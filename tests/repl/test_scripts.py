"""``generate`` and ``score`` for scripts: many prompts, the best of several, words that are never written."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from repl.batch import Job
from repl.generation import Generation
from repl.generator import Writer
from repl.line_scores import score_lines
from repl.processes import cores
from repl.text_model import ROWS
from repl.work_progress import WorkProgress

Run = Callable[..., Any]


def objects(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_every_line_of_a_prompt_file_is_a_prompt_and_results_are_in_order(celloquy: Run, tmp_path: Path) -> None:
    lines = [f"To {'abc' * (n % 5)}{'xyz'[n % 3]}" for n in range(ROWS + 9)]
    (tmp_path / "p.txt").write_text("\n".join(lines) + "\n")
    done = celloquy("generate", "tiny", "--prompt-file", "p.txt", "--lines", "-n", "6", "--seed", "1", "--json")
    assert [one["prompt"] for one in objects(done.out)] == lines
    alone = celloquy("generate", "tiny", "-p", lines[-1], "-n", "6", "--seed", "1", "--json")
    assert objects(alone.out)[0] == objects(done.out)[-1]


def test_prompts_are_taken_only_as_they_are_needed(
    write: Callable[..., Writer], capsys: pytest.CaptureFixture[str]
) -> None:
    taken, at_once = 0, ROWS * cores(write(seed=1))

    def prompts() -> Iterator[str]:
        nonlocal taken
        for _ in range(4 * at_once):
            taken += 1
            yield "a"

    made = Generation(write(seed=1), 1)._continuations(prompts())
    next(made)
    assert taken <= at_once
    assert sum(1 for _ in made) == 4 * at_once - 1


def test_best_of_prints_the_likeliest_of_those_that_samples_draws(celloquy: Run) -> None:
    arguments = ("generate", "tiny", "--lines", "-n", "12", "--seed", "3", "--json")
    every = objects(celloquy(*arguments, "--samples", "7", input=b"To be\nA\n").out)
    best = objects(celloquy(*arguments, "--best-of", "7", input=b"To be\nA\n").out)
    assert best == [min(every[n : n + 7], key=lambda one: one["nats_per_token"]) for n in (0, 7)]
    text = celloquy(*arguments[:-1], "--best-of", "7", input=b"To be\nA\n").out
    assert text == "\n".join((one["prompt"] + one["text"]).removesuffix("\n") + "\n" for one in best)
    two = objects(celloquy(*arguments, "--best-of", "7", "--samples", "2", input=b"To be\nA\n").out)
    assert two == [one for n in (0, 7) for one in sorted(every[n : n + 7], key=lambda one: one["nats_per_token"])[:2]]


@pytest.mark.parametrize(
    "flags",
    [
        ("--best-of", "2", "--samples", "3"),
        ("--best-of", "0"),
        ("-p", "a", "--prompt-file", "x"),
        ("--logit-bias", "a"),
        ("--logit-bias", "a=nan"),
        ("--logit-bias", "=1"),
        ("--form", "5,,5"),
        ("--form", "0"),
        ("--form-marks", "abc"),
        ("--acrostic", "a b"),
    ],
)
def test_names_that_make_no_sense_are_a_usage_error(celloquy: Run, flags: tuple[str, ...]) -> None:
    done = celloquy("generate", "tiny", *flags, "-n", "3")
    assert (done.status, done.out) == (2, "")


@pytest.mark.parametrize("family", ["tiny", "bytes"])
def test_a_banned_text_is_never_written_whatever_its_tokens(celloquy: Run, family: str) -> None:
    flags = ("generate", family, "-p", "The t", "-n", "400", "--seed", "1", "-t", "0.9")
    free = celloquy(*flags, "--no-echo").out
    pairs = {free[n : n + 2] for n in range(390)}
    banned = [*[pair for pair in sorted(pairs) if pair.isprintable() and pair.isascii()][:6], "e"]
    done = celloquy(*flags, *(word for text in banned for word in ("--banned", text)))
    assert done.status == 0
    whole = done.out[4:]
    assert not [text for text in banned if text in whole]


def test_a_banned_text_counts_what_the_prompt_has_of_it(write: Callable[..., Writer]) -> None:
    writer = write(temperature=5.0, banned=["Te"])
    texts = [done.text for done in writer.continuations([Job("ABT", n) for n in range(300)], 1, seed=1)]
    assert "e" not in texts
    assert "e" in [done.text for done in writer.continuations([Job("ABC", n) for n in range(300)], 1, seed=1)]


def test_a_logit_bias_moves_the_odds_by_its_exponential(write: Callable[..., Writer]) -> None:
    plain, biased = write(temperature=1.0), write(temperature=1.0, logit_bias=["e=2.5", "\n=-1000"])
    assert "\n" not in biased.generate("The", 500, seed=1)
    from plugins.sampler import Stream
    from repl.chain import Chain
    from repl.sampling import distribution

    model = plain._reading.model
    raw, _ = model.ahead(model.read_text("The", model.beginning()))
    p, q = (
        distribution(Chain(w.registry.samplers, w.settings, model.banned).logits(raw[None], [stream])[0])
        for w, stream in ((plain, Stream()), (biased, Stream(vocabulary=model.vocabulary)))
    )
    e, a = (model.tokenizer.encode(character)[0] for character in "ea")
    assert math.log(q[e] / q[a]) == pytest.approx(math.log(p[e] / p[a]) + 2.5)


def test_a_bias_on_what_is_no_token_is_one_line(celloquy: Run) -> None:
    done = celloquy("generate", "tiny", "-p", "a", "--logit-bias", "the=1", "--seed", "1")
    assert done.status == 1
    assert "'the' is not one token" in done.error_line


def test_banning_everything_is_one_line(celloquy: Run, write: Callable[..., Writer]) -> None:
    characters = write().loaded.tokenizer.characters  # type: ignore[attr-defined]
    done = celloquy("generate", "tiny", "-p", "a", "--seed", "1", *(w for c in characters for w in ("--banned", c)))
    assert done.status == 1
    assert "would complete a banned text" in done.error_line


def test_progress_is_told_on_standard_error_when_asked(celloquy: Run) -> None:
    done = celloquy("generate", "tiny", "--lines", "-n", "3", "--seed", "1", "--progress", input=b"a\nb\n")
    assert done.err.splitlines()[-1].startswith("2 prompts, ")
    assert celloquy("generate", "tiny", "--lines", "-n", "3", "--seed", "1", input=b"a\nb\n").err == ""
    assert celloquy("score", "tiny", "--progress", input=b"a\nb\n").err.startswith("2 lines, ")


@pytest.mark.parametrize(("terminal", "redrawn"), [("xterm", True), ("dumb", False)])
def test_progress_is_redrawn_only_where_the_cursor_can_move(
    monkeypatch: pytest.MonkeyPatch, terminal: str, redrawn: bool
) -> None:
    screen = io.StringIO()
    screen.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    monkeypatch.setenv("TERM", terminal)
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = WorkProgress("lines", 4)
    now[0] = 8.0
    progress.add(1, 40)
    progress.close()
    assert "1 of 4 lines, 5 tokens/s, 0:24 left" in screen.getvalue()
    assert ("\x1b" in screen.getvalue()) == redrawn


def test_score_prints_the_likelihood_of_each_line(celloquy: Run, write: Callable[..., Writer], tmp_path: Path) -> None:
    text = "To be, or not to be\n\nA\r\nthe king is gone"
    done = celloquy("score", "tiny.lstm", "--json", input=text.encode())
    found = objects(done.out)
    lines = ["To be, or not to be", "", "A", "the king is gone"]
    assert [one["text"] for one in found] == lines
    writer = write()
    for line, one in zip(lines, found, strict=True):
        whole = writer.score("\n" + line).surprises[1:] if line else ()
        assert one["nats"] == pytest.approx(math.fsum(s or 0.0 for s in whole), abs=1e-3)
        assert one["tokens"] == len(line)
        if line:
            assert one["bits_per_character"] == pytest.approx(one["nats"] / math.log(2) / len(line))
    (tmp_path / "t.txt").write_bytes(text.encode())
    plain = celloquy("score", "tiny.lstm", "t.txt").out.splitlines()
    assert [row.split("\t")[3] for row in plain] == lines
    assert [float(row.split("\t")[0]) for row in plain] == pytest.approx([one["nats"] for one in found], abs=1e-4)


def test_score_names_what_it_does_not_know_and_leaves_it_out(celloquy: Run) -> None:
    done = celloquy("score", "tiny", "--json", input="Aé\nA\n".encode())
    one, other = objects(done.out)
    assert "'é'" in done.error_line
    assert one["unknown"] == ["é"]
    assert one["tokens"] == 1
    assert one["nats"] == pytest.approx(other["nats"], abs=1e-4)


def test_scores_are_the_same_in_any_company(write: Callable[..., Writer]) -> None:
    model = write()._reading.model
    texts = ["the king", "a", "", "To be, or not to be: that is the question" * 3] * 30
    together = [score.nats for score in score_lines(model, texts)]
    alone = [next(score_lines(model, [text])).nats for text in texts[:4]]
    assert together == pytest.approx(alone * 30, rel=1e-5)


def test_score_without_lines_says_what_to_give(celloquy: Run) -> None:
    done = celloquy("score", "tiny", "no such file")
    assert (done.status, done.out) == (1, "")
    assert "no such file" in done.error_line

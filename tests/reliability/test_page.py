"""``docs/reliability.md`` says what the tests attack, all of it and nothing else; ``SECURITY.md`` says what is true."""

from __future__ import annotations

import re
from pathlib import Path

from reliability_kit.children import ROOT
from reliability_kit.ledger import Ledger
from reliability_kit.page import PAGE, curve_table, curves, merged, named_promises, rows_of, table, with_table

import checkpoints.header
import checkpoints.loading
import checkpoints.strict_json
import checkpoints.tensor_table
import repl.opening

SECURITY = ROOT / "SECURITY.md"


def test_every_row_of_the_page_is_a_promise_that_a_test_attacks() -> None:
    patterns = [re.compile(pattern) for _, pattern in named_promises()]
    rows = rows_of(PAGE.read_text(encoding="utf-8"))
    assert len(rows) > 30
    for promise, _, _ in rows:
        assert any(pattern.fullmatch(promise) for pattern in patterns), promise


def test_every_promise_that_a_test_attacks_is_a_row_of_the_page() -> None:
    rows = [promise for promise, _, _ in rows_of(PAGE.read_text(encoding="utf-8"))]
    for file, pattern in named_promises():
        if file != Path(__file__).name:  # the ledger is tried here, on a promise of no program
            assert any(re.fullmatch(pattern, promise) for promise in rows), f"{file}: {pattern}"


def test_what_was_tried_survived_and_as_often_as_was_promised() -> None:
    rows = rows_of(PAGE.read_text(encoding="utf-8"))
    assert all(tried == survived > 0 for _, tried, survived in rows)
    for begin, least in (("kill -9 at a random moment", 50), ("a damaged or forged checkpoint: ", 2000)):
        assert next(tried for promise, tried, _ in rows if promise.startswith(begin)) >= least


def test_every_promise_has_two_halves() -> None:
    for file, pattern in named_promises():
        assert r":\ " in pattern, f"{file}: {pattern}"


def test_ledgers_are_summed_and_put_into_the_page(tmp_path: Path) -> None:
    ledger = Ledger()
    for _ in range(3):
        with ledger.attempt("a thing: it stays"):
            pass
    try:
        with ledger.attempt("a thing: it stays", 4):
            raise KeyError
    except KeyError:
        pass
    ledger.write(tmp_path / "ledger.json")
    counts = merged([tmp_path / "ledger.json", tmp_path / "ledger.json"])
    assert counts == {"a thing: it stays": (14, 6)}
    page = with_table(PAGE.read_text(encoding="utf-8"), table(counts))
    assert rows_of(page) == [("a thing: it stays", 14, 6)]
    assert rows_of(with_table(page, table({"b: c": (1000, 999)}))) == [("b: c", 1000, 999)]


def test_the_limits_that_the_security_page_names_are_the_programs() -> None:
    text = " ".join(SECURITY.read_text(encoding="utf-8").split())
    for limit in (
        f"header of at most {checkpoints.tensor_table.LARGEST_HEADER >> 20} MB",
        f"{checkpoints.strict_json.MOST_PARTS:,} values",
        f"{checkpoints.tensor_table.MOST_DIMENSIONS} dimensions",
        f"{checkpoints.loading.MOST_LAYERS} layers, {checkpoints.header.MOST_LABELS:,} labels",
        f"larger than {repl.opening.LARGEST >> 30} GB",
    ):
        assert limit in text, limit


def test_the_security_page_invents_no_address() -> None:
    text = SECURITY.read_text(encoding="utf-8")
    assert "@" not in text
    assert "://" not in text


def test_what_is_followed_over_time_is_told_at_some_minutes(tmp_path: Path) -> None:
    short, long = Ledger(), Ledger()
    short.look("a size", 0.9, 7.0)
    for minute in range(1, 61):
        long.look("a size", minute + 0.1, 100 + minute)
    paths = [tmp_path / "short.json", tmp_path / "long.json"]
    short.write(paths[0])
    long.write(paths[1])
    assert curve_table(curves(paths)).splitlines()[-1] == (
        "| a size | 60 | 101 (1), 105 (5), 115 (15), 130 (30), 145 (45), 160 (60) |"
    )
    assert curve_table(curves(paths[:1])).splitlines()[-1] == "| a size | 1 | 7 (1) |"
    followed = curve_table(curves(paths))
    page = with_table(PAGE.read_text(encoding="utf-8"), table(merged(paths)), followed)
    assert followed in page
    assert with_table(page, table(merged(paths)), followed) == page

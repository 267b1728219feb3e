"""Pictures: what stands in the terminal, in SVG, HTML and PNG, and whom the colours leave out (nobody)."""

from __future__ import annotations

import io
import itertools
import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth
from rich.console import Console

from cells.errors import CelloquyError, UsageError
from repl.lab.draw import png as png_module
from repl.lab.draw.axes import Axis, axes_of, number_label, runs
from repl.lab.draw.braille import Canvas
from repl.lab.draw.colours import (
    DIVERGING,
    FAINT,
    GROUND,
    INK,
    LEVELS,
    SEQUENTIAL,
    SERIES,
    TERMINAL,
    channels,
    contrast,
    ink_on,
    luminance,
    ramp,
)
from repl.lab.draw.files import check_file, write_picture
from repl.lab.draw.layout import lay_out
from repl.lab.draw.layout_chart import spread
from repl.lab.draw.marks import bands, cells, fit, mark, wrapped
from repl.lab.draw.picture import ColouredText, HeatGroup, HeatMap, LineChart, Lines, Picture, Scale, Series, Table
from repl.lab.draw.png import dashes
from repl.lab.draw.scene import Area, Label
from repl.lab.draw.svg import html, svg
from repl.lab.draw.terminal import ground_theme, numeric_columns, picture_lines, show
from repl.lab.draw.terminal_heat import shade

HOSTILE = "\x1b[31m<script>&\"'\u202e\x00你"


def picture(label="rnn", text="Good 你\nday"):
    """One panel of every kind."""
    k = range(40)
    series = [
        Series(label, k, [0.5**i for i in k], [0.3**i for i in k], [0.7**i for i in k]),
        Series("explodes", k, [4.0**i for i in k]),
        Series("gaps", k, [math.nan if i % 9 == 4 else 0.0 if i % 9 == 5 else 1.0 for i in k]),
    ]
    values = [[math.sin(i + r) for i in range(len(text))] for r in range(3)]
    groups = [
        HeatGroup(f"f, {label} (sigmoid)", ["1", "2", "mean"], [[abs(v) for v in row] for row in values], Scale(0, 1)),
        HeatGroup("h, state", ["1", "2", "mean"], values, Scale(-1, 1, True)),
    ]
    return Picture(
        f"Picture of {label}",
        [
            LineChart("Chart", "k", "norm", series, log_y=True, y_limits=(1e-6, 1e6)),
            HeatMap("Map", list(text), groups),
            ColouredText("Text", list(text), values[0], Scale(-1, 1, True)),
            Table("Table", ["cell", "loss"], [[label, "1.5"], ["lstm", "12.25"]]),
            Lines("Lines", [f"{label} = " + "word " * 40]),
        ],
        "What there is to see. " * 8,
    )


# ------------------------------------------------------------------ colours


MACHADO = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
}
"""Machado, Oliveira and Fernandes 2009, table 1, severity 1: linear RGB as it is seen."""


def linear(colour):
    return [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in channels(colour))]


def seen(colour, vision):
    """CIE Lab of a colour as a kind of vision has it."""
    r, g, b = (
        min(max(sum(m * c for m, c in zip(row, linear(colour), strict=True)), 0.0), 1.0) for row in MACHADO[vision]
    )
    xyz = (
        (0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047,
        0.2126729 * r + 0.7151522 * g + 0.0721750 * b,
        (0.0193339 * r + 0.1191920 * g + 0.9503041 * b) / 1.08883,
    )
    x, y, z = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("vision", MACHADO)
def test_curves_can_be_told_apart_by_any_colour_vision(vision):
    for colours in ([p.light for p in SERIES], [p.dark for p in SERIES], TERMINAL):
        for one, other in itertools.combinations(colours, 2):
            assert math.dist(seen(one, vision), seen(other, vision)) > 20, (one, other)


def test_curves_and_text_stand_out_from_their_ground():
    for paint in (*SERIES, FAINT):
        assert contrast(paint.light, GROUND.light) > 3
        assert contrast(paint.dark, GROUND.dark) > 3
    assert contrast(INK.light, GROUND.light) > 12
    assert contrast(INK.dark, GROUND.dark) > 12
    for colour in TERMINAL:
        assert contrast(colour, "#000000") > 3
        assert contrast(colour, "#FFFFFF") > 3


def test_ramps_run_one_way_in_lightness_so_that_they_are_read_without_colour_too():
    assert len(SEQUENTIAL) == len(DIVERGING) == 2
    for theme, sign in (("light", -1), ("dark", 1)):
        steps = [luminance(ramp(i / LEVELS, False).on(theme)) * sign for i in range(LEVELS + 1)]
        assert all(a < b for a, b in itertools.pairwise(steps))
        upper = [luminance(ramp(i / LEVELS, True).on(theme)) * sign for i in range(LEVELS // 2, LEVELS + 1)]
        lower = [luminance(ramp(i / LEVELS, True).on(theme)) * sign for i in range(LEVELS // 2, -1, -1)]
        for half in (upper, lower):
            assert all(a < b for a, b in itertools.pairwise(half))


@pytest.mark.parametrize("vision", MACHADO)
def test_below_and_above_zero_differ_for_any_colour_vision(vision):
    for theme in ("light", "dark"):
        for distance in (0.25, 0.4, 0.5):
            low, high = (ramp(0.5 + side * distance, True).on(theme) for side in (-1, 1))
            assert math.dist(seen(low, vision), seen(high, vision)) > 20


def test_text_on_any_step_of_a_ramp_can_be_read():
    for diverging, theme, step in itertools.product((False, True), ("light", "dark"), range(LEVELS + 1)):
        ground = ramp(step / LEVELS, diverging).on(theme)
        assert contrast(ink_on(ground), ground) > 4.5


# ------------------------------------------------------------------ axes


@given(
    st.floats(-1e9, 1e9),
    st.floats(1e-6, 1e9),
    st.integers(2, 12),
)
def test_ticks_stand_within_the_axis_in_order(low, span, most):
    assume(span > 1e-5 * abs(low))  # nearer ones are beyond what a float can hold between them
    axis = Axis(low, low + span)
    values = [value for value, _ in axis.ticks(most)]
    assert values == sorted(values)
    assert all(-1e-6 <= axis.place(value) <= 1 + 1e-6 for value in values)
    assert len(values) <= most + 2


@given(st.integers(-300, 290), st.integers(1, 18), st.integers(2, 9))
def test_logarithmic_ticks_are_powers_of_ten(first, span, most):
    axis = Axis(10.0**first, 10.0 ** (first + span), True)
    ticks = axis.ticks(most)
    assert 1 <= len(ticks) <= most + 1
    for value, _ in ticks:
        assert math.log10(value) == pytest.approx(round(math.log10(value)))


def test_labels_are_short():
    labels = [number_label(value) for value in (0, 0.25, -3, 200, 20_000, 2.5e6)]
    assert labels == ["0", "0.25", "-3", "200", "20k", "2.5M"]
    assert [number_label(value, True) for value in (1e-12, 0.1, 1, 1e6)] == ["1e-12", "0.1", "1", "1e6"]


def test_what_has_no_logarithm_has_no_place():
    axis = Axis(1e-3, 1e3, True)
    assert math.isnan(axis.place(0.0))
    assert math.isnan(axis.place(-1.0))
    assert math.isnan(axis.place(math.inf))
    assert axis.place(1.0) == pytest.approx(0.5)


def test_an_axis_is_made_for_any_curve():
    for values in ([], [0.0], [5.0, 5.0], [math.nan], [math.inf, 1.0]):
        for log in (False, True):
            chart = LineChart("", "", "", [Series("a", range(len(values)), values)], log_y=log)
            for axis in axes_of(chart):
                assert axis.low < axis.high
                assert axis.ticks(5)


@given(st.lists(st.one_of(st.floats(-3, 3), st.just(math.nan)), max_size=30))
def test_curves_never_leave_the_frame_and_keep_what_is_inside(heights):
    points = [(i / 30, y) for i, y in enumerate(heights)]
    drawn = [point for run in runs(points) for point in run]
    assert all(-1e-12 <= y <= 1 + 1e-12 for _, y in drawn)
    assert {point for point in points if 0 <= point[1] <= 1} <= set(drawn)


def test_a_curve_that_leaves_is_cut_where_it_leaves():
    assert runs([(0.0, 0.5), (1.0, 1.5)]) == [[(0.0, 0.5), (0.5, 1.0)]]
    assert runs([(0.0, -1.0), (1.0, 2.0)]) == [[(pytest.approx(1 / 3), 0.0), (pytest.approx(2 / 3), 1.0)]]
    assert runs([(0.0, 2.0), (1.0, 3.0)]) == []


@given(st.lists(st.floats(0, 400), min_size=1, max_size=20))
def test_names_of_curves_do_not_touch_if_there_is_room(levels):
    placed = spread(sorted(levels), 17, 0, 400)
    assert all(b - a >= 17 - 1e-9 for a, b in itertools.pairwise(placed))
    assert placed[-1] <= 400 + 1e-9


# ------------------------------------------------------------------ terminal


def test_a_rising_line_rises_on_the_canvas():
    canvas = Canvas(4, 2)
    canvas.line([(0.0, 0.0), (1.0, 1.0)], 0)
    assert ["".join(character for character, _ in canvas.row(row)) for row in range(2)] == ["  ⡠⠊", "⡠⠊  "]


def test_letters_stay_on_top_and_do_not_hide_each_other():
    canvas = Canvas(4, 2)
    canvas.letter((0.5, 0.5), "a", 0)
    canvas.letter((0.5, 0.5), "b", 1)
    canvas.line([(0.0, 0.5), (1.0, 0.5)], 2)
    row = [cell for number in range(2) for cell in canvas.row(number) if cell[0] in "ab"]
    assert row == [("a", 0)]


@pytest.mark.parametrize("width", [20, 40, 80, 133, 200])
@pytest.mark.parametrize("colour", [True, False])
def test_no_line_is_wider_than_the_terminal(width, colour):
    for line in picture_lines(picture(text="Good 你好 day\n" * 12), width, colour):
        assert get_cwidth(line.plain) <= width, line.plain


def test_without_colour_nothing_is_lost_and_no_escape_is_written(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()
    show(picture(), Console(file=out, width=80, force_terminal=True, color_system="truecolor"))
    text = out.getvalue()
    assert "38;2" not in text
    assert "48;2" not in text
    assert "█" in text
    assert "a rnn   b explodes   c gaps" in text
    plain = io.StringIO()
    show(picture(), Console(file=plain, width=80))
    assert "\x1b" not in plain.getvalue()


def test_with_colour_cells_carry_their_colours():
    out = io.StringIO()
    show(picture(), Console(file=out, width=80, force_terminal=True, color_system="truecolor", no_color=False))
    assert "48;2" in out.getvalue()
    assert "█" not in out.getvalue()


def test_hostile_labels_cannot_steer_the_terminal():
    out = io.StringIO()
    show(picture(HOSTILE, HOSTILE), Console(file=out, width=80))
    assert not set(out.getvalue()) & set("\x1b\x00\u202e")


def test_a_heat_maps_columns_stand_under_their_characters():
    text = "a你b"
    heat = HeatMap("", list(text), [HeatGroup("g", ["1"], [[0.0, 1.0, 0.0]], Scale(0, 1))])
    lines = [line.plain for line in picture_lines(Picture("", [heat]), 40, False)]
    heading = next(line for line in lines if "你" in line)
    row = next(line for line in lines if "██" in line)
    before = heading.index("你")
    assert row[get_cwidth(heading[:before]) :].startswith("██")


def test_long_texts_are_shown_in_bands_that_lose_no_column():
    text = "".join(chr(97 + i % 26) for i in range(150))
    heat = HeatMap("", list(text), [HeatGroup("g", ["1"], [[1.0] * 150], Scale(0, 1))])
    lines = [line.plain for line in picture_lines(Picture("", [heat]), 60, False)]
    headings = "".join(line.strip() for line in lines if re.fullmatch(r" *[a-z]{5,}", line))
    assert headings == text
    assert sum(line.count("█") for line in lines if line.startswith("1")) == 150


@given(st.lists(st.integers(1, 3), max_size=60), st.integers(3, 20))
def test_bands_hold_every_column_once_and_fit(widths, room):
    found = bands(widths, room)
    assert [column for band in found for column in band] == list(range(len(widths)))
    assert all(sum(widths[column] for column in band) <= room for band in found)


@given(st.text(max_size=6))
@example("\xa0")
@example("\u3000\u2003\u2028")
def test_every_piece_has_a_visible_mark_of_a_known_width(piece):
    label = mark(piece)
    assert label.strip()
    assert cells(label) >= 1
    assert "\n" not in label
    assert "\x1b" not in label


@given(st.text(max_size=20), st.integers(0, 30))
def test_text_is_fitted_to_the_cell(text, width):
    text = "".join(mark(character) for character in text)
    assert cells(fit(text, width)) == width


def test_lines_are_wrapped_at_words_and_short_ones_left_alone():
    assert wrapped("a  b", 10) == ["a  b"]
    assert wrapped("one two three", 8, "  ") == ["one two", "  three"]


def test_shades_tell_both_sides_of_zero():
    scale = Scale(-1, 1, True)
    assert [shade(value, scale) for value in (-1, -0.5, 0, 0.5, 1)] == ["#", "=", " ", "▒", "█"]
    assert shade(math.nan, scale) == shade(math.nan, Scale(0, 1)) == "?"


def test_a_flat_map_is_not_divided_by_zero():
    assert Scale(0, 0).place(3.0) == 0.0
    assert Scale.around_zero([[0.0, math.inf]]).high == 1.0


def test_columns_of_numbers_are_set_to_the_right():
    table = Table("", ["cell", "loss", "it"], [["rnn", "1.5", "a"], ["lstm", "", "1"], ["gru", "×2", "b"]])
    assert numeric_columns(table) == {1}


def test_the_terminals_ground_is_dark_unless_it_says_otherwise(monkeypatch):
    monkeypatch.delenv("COLORFGBG", raising=False)
    assert ground_theme() == "dark"
    monkeypatch.setenv("COLORFGBG", "0;15")
    assert ground_theme() == "light"


# ------------------------------------------------------------------ files


def test_an_svg_is_well_formed_whatever_the_labels_are():
    for theme in ("auto", "light", "dark"):
        root = ET.fromstring(svg(lay_out(picture(HOSTILE, HOSTILE)), theme))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert not [element for element in root.iter() if "script" in element.tag]


def test_an_svg_holds_its_text_as_text_and_a_description():
    root = ET.fromstring(svg(lay_out(picture())))
    space = "{http://www.w3.org/2000/svg}"
    texts = ["".join(element.itertext()) for element in root.iter(f"{space}text")]
    assert {"rnn", "explodes", "Chart", "norm", "12.25"} <= set(texts)
    assert root.find(f"{space}title").text == "Picture of rnn"
    assert root.find(f"{space}desc").text.startswith("What there is to see.")


def test_an_svg_follows_the_readers_setting_unless_told():
    scene = lay_out(picture())
    automatic, light, dark = (svg(scene, theme) for theme in ("auto", "light", "dark"))
    assert "prefers-color-scheme:dark" in automatic
    on_light, on_dark = (f".p0{{fill:{ground}}}" for ground in (GROUND.light, GROUND.dark))
    assert automatic.index(on_light) < automatic.index("prefers-color-scheme") < automatic.index(on_dark)
    assert on_light in light
    assert on_dark in dark
    assert not [one for one in (light, dark) if "prefers-color-scheme" in one]
    assert on_dark not in light
    assert on_light not in dark


def test_a_page_loads_nothing_from_anywhere():
    page = html(lay_out(picture()))
    assert page.startswith("<!DOCTYPE html>")
    assert not re.search(r"(src|href)=|@import|url\(", page)
    assert re.findall(r"https?://[^\"]*", page) == ["http://www.w3.org/2000/svg"]


def test_everything_is_laid_out_inside_the_picture():
    scene = lay_out(picture(text="Good day, sir! " * 20))
    for shape in scene.shapes:
        points = getattr(shape, "points", None) or [(shape.x, shape.y)]
        for x, y in points:
            assert 0 <= x <= scene.width
            assert 0 <= y <= scene.height
    assert any(isinstance(shape, Area) for shape in scene.shapes), "the band of the first curve"
    labels = [shape.text for shape in scene.shapes if isinstance(shape, Label)]
    assert labels.count("rnn") >= 1


def test_a_png_is_drawn_for_both_grounds(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    for theme, ground in (("auto", GROUND.light), ("dark", GROUND.dark)):
        write_picture(picture(), tmp_path / "p.png", theme)
        with image_module.open(tmp_path / "p.png") as image:
            assert image.size[0] == 2080
            assert image.getpixel((3, 3)) == channels(ground)
            colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 24)}
        series = SERIES[0].on("dark" if theme == "dark" else "light")
        assert channels(series) in colours


def test_dashes_leave_gaps_of_their_length():
    assert dashes([(0.0, 0.0), (10.0, 0.0)], ()) == [[(0.0, 0.0), (10.0, 0.0)]]
    assert dashes([(0.0, 0.0), (10.0, 0.0)], (4.0, 2.0)) == [
        [(0.0, 0.0), (4.0, 0.0)],
        [(6.0, 0.0), (10.0, 0.0)],
    ]


def test_a_png_without_pillow_says_in_one_line_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr(png_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CelloquyError, match=r"^a \.png needs Pillow: pip install 'celloquy\[plot\]' .*$"):
        check_file(tmp_path / "p.png")


def test_files_are_written_in_the_format_of_their_name(tmp_path):
    for name, start in (("p.svg", b"<svg "), ("P.HTML", b"<!DOCTYPE html>")):
        write_picture(picture(), tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["P.HTML", "p.svg"]


def test_files_that_cannot_be_written_are_refused_before_the_work(tmp_path):
    with pytest.raises(UsageError, match=r"out must end in \.svg, \.png, \.html, not 'p\.pdf'"):
        check_file(tmp_path / "p.pdf")
    with pytest.raises(CelloquyError, match=r"the folder .* does not exist"):
        check_file(tmp_path / "nowhere" / "p.svg")
    (tmp_path / "d.svg").mkdir()
    with pytest.raises(CelloquyError, match="cannot write"):
        write_picture(picture(), tmp_path / "d.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["d.svg"]

"""From what a session tells to rows of text: what is finished, and the unfinished row. Knows no terminal."""

from __future__ import annotations

from collections.abc import Iterable

from repl.bars import bar_rows
from repl.compare_view import columns_as_rows
from repl.events import Break, Drawing, Event, Note, Shares, Table, Text
from repl.heat import heat_style
from repl.neuron import neuron_style
from repl.wrap import Row, Rows, wrap, wrap_words


class Page:
    """The text as rows of a terminal. :attr:`heat` is the colouring for what comes next, a colour for so many bits."""

    def __init__(self, columns: int, colour: bool = True, unicode: bool = True) -> None:
        self.rows = Rows(columns)
        self.colour = colour
        self.unicode = unicode
        self.heat = "off"
        self.heat_bits = 1

    @property
    def tail(self) -> Row:
        """The unfinished row."""
        return self.rows.tail

    def take(self, events: Iterable[Event]) -> list[Row]:
        """The rows that these events finish, in the order in which they belong on the screen."""
        finished: list[Row] = []
        for event in events:
            if isinstance(event, Text):
                finished += self.rows.add(self._style(event), event.text if event.shown is None else event.shown)
            elif isinstance(event, Note):
                finished += [] if event.aside else self.rows.flush()
                finished += wrap_words(f"class:{event.kind}", event.text, self.rows.columns, " " * event.indent)
            elif isinstance(event, Break):
                finished += self.rows.flush()
            elif isinstance(event, Table):
                finished += self.rows.flush() + self._table(event)
            elif isinstance(event, Drawing):
                finished += self.rows.flush() + self._picture(event)
            elif isinstance(event, Shares):
                finished += self.rows.flush() + bar_rows(event.shares, self.rows.columns, unicode=self.unicode)
        return finished

    def _style(self, text: Text) -> str:
        if text.given:
            return "class:given"
        return heat_style(self.heat, text, self.heat_bits) if text.shade is None else neuron_style(text.shade)

    def _picture(self, drawing: Drawing) -> list[Row]:
        from repl.drawing import picture_rows  # rich, which nothing else of the screen needs

        return picture_rows(drawing.draw(self.rows.columns), self.rows.columns, self.colour)

    def _table(self, table: Table) -> list[Row]:
        head = wrap([("class:given", table.prompt)], self.rows.columns)
        return [*head, *columns_as_rows(table.columns, self.rows.columns), []]

    def resize(self, columns: int) -> list[Row]:
        """Take another width; the rows that this finishes."""
        return self.rows.resize(columns)


def rows_after_reflow(widths: Iterable[int], cursor: tuple[int, int], columns: int) -> int:
    """How many rows the cursor is further down after a terminal broke its rows anew to ``columns``.

    ``widths`` are the cells in each row that was drawn, from the first on; ``cursor`` is (row, column) among them.
    """
    row, column = cursor
    above = sum(max(1, -(-width // columns)) for _, width in zip(range(row), widths, strict=False))
    return above + column // columns - row

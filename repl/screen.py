"""What the terminal shows: finished rows in its own scrollback, and below them the unfinished row, the input line and
the status line, which are drawn again each frame. Decides nothing: the session does."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.layout import AnyContainer, BufferControl, ConditionalContainer, Dimension, HSplit, Layout, Window
from prompt_toolkit.layout.controls import FormattedTextControl
from prompt_toolkit.layout.screen import Char
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.widgets import CompletionsToolbar, SearchToolbar

from repl.bars import bar_rows
from repl.compare_view import columns_as_rows
from repl.completion import SlashCompleter
from repl.events import Outbox
from repl.heat import legend
from repl.input_line import ShowHostile
from repl.look import STYLE
from repl.neuron import Neuron, neuron_legend
from repl.page import Page, rows_after_reflow
from repl.status import activity, fit
from repl.terminal import HeldOutput, reflows, speaks_unicode
from repl.wrap import Row

if TYPE_CHECKING:
    from repl.conversation import Conversation
    from repl.worker import Worker

FRAME = 1 / 30
INPUT_ROWS = 6
AT_REST = ("ready", "paused")
ESCAPE_SECONDS = 0.1
"""Longer than the bytes of an arrow key take to come, even over a slow line; shorter than a person notices."""


class Screen:
    """The application on the terminal. ``keys`` are bound by :mod:`repl.keys`."""

    def __init__(self, worker: Worker, outbox: Outbox, output: HeldOutput, title: str, history: History) -> None:
        self.worker = worker
        self.outbox = outbox
        self.output = output
        self.title = title
        colour = output.get_default_color_depth() != ColorDepth.DEPTH_1_BIT
        self.page = Page(output.get_size().columns, colour, speaks_unicode())
        self.keys = KeyBindings()
        self.chosen_knob: int | None = None
        self.hint = ""
        self._unicode = speaks_unicode()
        self._doing = "ready"
        self.buffer = Buffer(
            multiline=True,
            history=history,
            completer=SlashCompleter(lambda: worker.session),
            complete_while_typing=Condition(lambda: self.buffer.text.startswith("/")),
            enable_history_search=False,
        )
        self.buffer.on_text_changed += lambda buffer: self._typed()
        self.search = SearchToolbar()
        self.app: Application[int] = self._application()
        self.app.after_render += lambda app: output.release()

    @property
    def session(self) -> Conversation | None:
        """The session, once it is there."""
        return self.worker.session

    @property
    def columns(self) -> int:
        """The width of the terminal."""
        return self.output.get_size().columns

    def say(self, hint: str) -> None:
        """A passing hint under the input line; it goes when something is typed."""
        self.hint = hint

    def _typed(self) -> None:
        self.say("")
        self.worker.submit(self._preview, quiet=True)

    def _preview(self, session: Conversation) -> None:
        """What can be said of the line as it is by now; those that were typed on the way are passed over."""
        before = session.shares
        session.preview(self.buffer.text)
        if session.shares != before:
            self.outbox.touch()

    # The layout

    def _application(self) -> Application[int]:
        application: Application[int] = Application(
            layout=self._layout(),
            key_bindings=self.keys,
            style=STYLE,
            full_screen=False,
            erase_when_done=True,
            output=self.output,
            terminal_size_polling_interval=None,
        )
        # How long an Esc may be the beginning of another key: half a second by default, in which text streams on.
        application.ttimeoutlen = application.timeoutlen = ESCAPE_SECONDS
        return application

    def _layout(self) -> Layout:
        entry = Window(
            BufferControl(
                self.buffer,
                input_processors=[ShowHostile()],
                search_buffer_control=self.search.control,
                preview_search=True,
            ),
            height=Dimension(min=1, max=INPUT_ROWS),
            wrap_lines=True,
            dont_extend_height=True,
            get_line_prefix=self._prefix,
        )
        comparing = Condition(lambda: self.session is not None and self.session.comparison is not None)
        parts: list[AnyContainer] = [
            ConditionalContainer(_rows(self._comparison), comparing),
            ConditionalContainer(_row(lambda: self.page.tail), ~comparing),
            ConditionalContainer(
                _row(self._legend), Condition(lambda: self.page.heat != "off" or self._neuron is not None)
            ),
            entry,
            ConditionalContainer(_rows(self._bars), Condition(lambda: bool(self._bars()))),
            self.search,
            CompletionsToolbar(),
            ConditionalContainer(_row(lambda: [("class:dim", self.hint)]), Condition(lambda: bool(self.hint))),
            ConditionalContainer(_rows(self._knob_list), Condition(lambda: self.chosen_knob is not None)),
            _row(self._status),
        ]
        return Layout(HSplit(parts), focused_element=entry)

    def _prefix(self, line: int, wraps: int) -> StyleAndTextTuples:
        first = line == 0 and wraps == 0
        return [("class:prompt", ("› " if self._unicode else "> ") if first else "  ")]

    def _status(self) -> Row:
        if self.session is None:
            return [("class:status", f"loading {self.title}…")]
        return fit(self.session.status(self._present(self.session), unicode=self._unicode), self.columns)

    def _present(self, session: Conversation) -> str:
        """What goes on. Who reads "ready" may rely on it: what was asked for is done, and all of its text is shown."""
        if self._doing not in AT_REST:
            return self._doing
        now = activity(session)
        return "busy" if now in AT_REST and (self.worker.waiting or not self.outbox.empty) else now

    @property
    def _neuron(self) -> Neuron | None:
        return None if self.session is None else self.session.neuron

    def _legend(self) -> Row:
        if (neuron := self._neuron) is not None:
            return neuron_legend(neuron)
        return legend(self.page.heat, self.page.heat_bits)

    def _bars(self) -> list[Row]:
        if self.session is None or not self.buffer.text:
            return []
        return bar_rows(self.session.shares, self.columns, unicode=self._unicode)

    def _comparison(self) -> list[Row]:
        comparison = self.session.comparison if self.session is not None else None
        if comparison is None:
            return []
        height = max(3, self.output.get_size().rows - 4)
        return columns_as_rows(comparison.table().columns, self.columns, height)

    def _knob_list(self) -> list[Row]:
        if self.session is None or self.chosen_knob is None:
            return []
        knobs = list(self.session.knobs)
        width, values = max(len(knob.title) for knob in knobs), max(len(knob.value) for knob in knobs)
        rows: list[Row] = []
        for number, knob in enumerate(knobs):
            style = "class:knob.chosen" if number == self.chosen_knob else "class:knob"
            shown = f" {knob.title:<{width}}  {knob.value:<{values}} "
            rows.append([(style, shown), ("class:dim", f" {knob.description}")])
        room = max(1, self.output.get_size().rows - 5)
        start = max(0, min(self.chosen_knob - room // 2, len(rows) - room))
        return [*rows[start : start + room], [("class:dim", "Up/Down choose, Left/Right turn, F2 or Esc close")]]

    # Frames

    async def pump(self, each_frame: Callable[[], None]) -> None:
        """Show what the session tells, one batch a frame, until the application ends."""
        self._watch_size()
        loop, awake = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended; whoever ends it shows what is left
                loop.call_soon_threadsafe(awake.set)

        self.outbox.wake = wake
        awake.set()
        while True:
            await awake.wait()
            awake.clear()
            self.show()
            each_frame()
            await asyncio.sleep(FRAME)

    def show(self) -> None:
        """Take what has come, commit the finished rows to the scrollback, draw the rest again."""
        events = self.outbox.drain()
        if self.session is not None:
            self.page.heat, self.page.heat_bits = self.session.heat, self.session.heat_bits
            doing = activity(self.session)
            if doing not in AT_REST or self.outbox.empty:
                self._doing = doing
        self.commit(self.page.take(events))

    def commit(self, rows: list[Row]) -> None:
        """Put rows above the live part, for good, and draw the live part again: one write to the terminal."""
        if rows:
            self.output.hold()  # until the live part is drawn again
            self.app.renderer.erase()
            self._print(rows)
        self.app.invalidate()

    def _print(self, rows: list[Row]) -> None:
        lines: StyleAndTextTuples = [fragment for row in rows for fragment in (*row, ("", "\n"))]
        print_formatted_text(self.output, lines, STYLE, color_depth=self.app.color_depth)

    def finish(self) -> None:
        """Show what is left, and end the unfinished row."""
        rows = self.page.take(self.outbox.drain())
        self.commit(rows + self.page.rows.flush())

    def _watch_size(self) -> None:
        if hasattr(signal, "SIGWINCH"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, self.resized)

    def resized(self) -> None:
        """The terminal has another size: what was drawn goes, and the rows are filled anew from there on."""
        renderer, columns = self.app.renderer, self.columns
        drawn = renderer.last_rendered_screen
        self.output.hold()
        if drawn is not None and columns < self.page.rows.columns and reflows():
            widths = [_width(drawn.data_buffer[row]) for row in range(drawn.height)]
            cursor = drawn.get_cursor_position(self.app.layout.current_window)
            self.output.cursor_up(rows_after_reflow(widths, (cursor.y, cursor.x), columns))
        renderer.erase()
        self.commit(self.page.resize(columns))


class _Text(FormattedTextControl):
    """A text as wide as the terminal. Measuring it would make prompt_toolkit remember each row that ever was shown."""

    def preferred_width(self, max_available_width: int) -> int:
        return max_available_width


def _row(content: Any) -> Window:
    return Window(_Text(content), height=1, wrap_lines=False, dont_extend_height=True)


def _rows(content: Any) -> Window:
    def lines() -> StyleAndTextTuples:
        rows = content()
        return [fragment for number, row in enumerate(rows) for fragment in ([("", "\n")] if number else []) + row]

    return Window(_Text(lines), wrap_lines=False, dont_extend_height=True)


def _width(row: dict[int, Char]) -> int:
    """Cells that a drawn row takes, blanks at its end not counted."""
    return 1 + max((column for column, cell in row.items() if cell.char != " "), default=-1)

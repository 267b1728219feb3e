"""What is typed or pasted, as it stands in the input line: shown visibly, whatever it is."""

from __future__ import annotations

from itertools import accumulate

from prompt_toolkit.formatted_text.utils import fragment_list_to_text
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.layout.utils import explode_text_fragments

from repl.visible import is_hostile, name_of


class ShowHostile(Processor):
    """Puts a visible stand-in for every character that a terminal might obey; what is typed stays what it is."""

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """See prompt_toolkit: the fragments of one line, and how places in the line and on the screen correspond."""
        fragments = transformation_input.fragments
        if not any(map(is_hostile, fragment_list_to_text(fragments))):
            return Transformation(fragments)
        shown = [
            (style, name_of(text) if is_hostile(text) else text)
            for style, text, *_ in explode_text_fragments(fragments)
        ]
        starts = [0, *accumulate(len(text) for _, text in shown)]

        def to_display(place: int) -> int:
            return starts[min(max(place, 0), len(starts) - 1)] + max(0, place - len(starts) + 1)

        def to_source(place: int) -> int:
            return max(number for number, start in enumerate(starts) if start <= max(place, 0))

        return Transformation([*shown], to_display, to_source)

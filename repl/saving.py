"""Sessions as files: text, settings, seed, marks, the models' states and the checkpoint's fingerprint, in one JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from checkpoints.files import write_atomic
from checkpoints.finding import expanded
from repl.saved_readings import SavedTree, randomness_json

if TYPE_CHECKING:
    from checkpoints.loading import Loaded
    from repl.generator import Snapshot
    from repl.reading import Reading
    from repl.session import Session, Turn
    from repl.text_model import Position, TextModel

FORMAT = 1

_FINGERPRINTS: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def fingerprint(loaded: Loaded) -> str:
    """SHA-256 of a loaded checkpoint's weights and vocabulary, whatever has become of its file since."""
    if loaded.model not in _FINGERPRINTS:
        digest = hashlib.sha256(json.dumps(loaded.tokenizer.to_json(), sort_keys=True).encode())
        for name, tensor in loaded.model.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        _FINGERPRINTS[loaded.model] = digest.hexdigest()
    return _FINGERPRINTS[loaded.model]


class Saver:
    """Turns one session into JSON, again and again; what did not change since is not worked out again."""

    def __init__(self) -> None:
        self._trees: dict[int, tuple[Reading, SavedTree]] = {}

    def dump(self, session: Session) -> bytes:
        """The bytes of a session file: all that :func:`repl.opening.open_session` needs."""
        here = session.writer.snapshot()
        places = [here, *(mark.place for mark in session.marks.values())]
        used = list(dict.fromkeys(id(place.reading) for place in places))
        self._trees = {number: tree for number, tree in self._trees.items() if number in used}
        for number in used:
            of_one = [place for place in places if id(place.reading) == number]
            self._tree(of_one[0].reading).keep(place.passage for place in of_one)
        states: dict[int, dict[int, Position]] = {number: {} for number in used}
        for place in places:
            states[id(place.reading)][self._tree(place.reading).number(place.passage)] = place.position
        head = json.dumps(self._head(session, here, used), indent=1)
        readings = ",\n".join(self._reading(number, kept) for number, kept in states.items())
        return f'{head[:-2]},\n "readings": [{readings}]\n}}\n'.encode("ascii")

    def _head(self, session: Session, here: Snapshot, used: list[int]) -> dict[str, Any]:
        template = session.chat.template.to_json()
        return {
            "format": FORMAT,
            "checkpoint": _checkpoint(here.reading.model),
            "transcript": session.writer.transcript,
            "seed": session.writer.seed,
            "length": session.length,
            "speed": session.speed,
            "heat": session.heat,
            "chat": {"on": session.chat.on, "candidates": session.chat.candidates, "template": template},
            **self._place(here, session.turns, used),
            "marks": {name: self._place(mark.place, mark.turns, used) for name, mark in session.marks.items()},
        }

    def _reading(self, number: int, kept: Mapping[int, Position]) -> str:
        reading, tree = self._trees[number]
        return f'{{"checkpoint": {json.dumps(_checkpoint(reading.model))}, "passages": {tree.rows(kept)}}}'

    def _tree(self, reading: Reading) -> SavedTree:
        if id(reading) not in self._trees:
            self._trees[id(reading)] = (reading, SavedTree())
        return self._trees[id(reading)][1]

    def _place(self, place: Snapshot, turns: Sequence[Turn], used: list[int]) -> dict[str, Any]:
        return {
            "at": [used.index(id(place.reading)), self._tree(place.reading).number(place.passage)],
            "random": randomness_json(place.randomness),
            "settings": dict(place.values),
            "turns": [[turn.start, turn.answer] for turn in turns],
        }


def _checkpoint(model: TextModel) -> dict[str, Any]:
    loaded = model.loaded
    path = getattr(loaded, "member", loaded.path)
    return {
        "name": model.name,
        "cell": model.cell_name,
        "path": str(Path(path).absolute()),
        "fingerprint": fingerprint(loaded),
    }


def save_session(session: Session, name: str) -> Path:
    """Write a session to a file; CelloquyError if the disk refuses."""
    path = expanded(name)
    write_atomic(path, Saver().dump(session))
    return path

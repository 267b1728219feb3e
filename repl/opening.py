"""Going on with a saved session: everything is built and checked before anything of the present one changes."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cells.errors import CelloquyError
from checkpoints.dialog import Template
from checkpoints.finding import expanded
from checkpoints.shown import plain
from repl.chat import MOST_CANDIDATES
from repl.generator import Snapshot
from repl.mixture import is_mixture, mix
from repl.reading import Reading
from repl.saved_readings import randomness_from, reading_from
from repl.saving import FORMAT, fingerprint
from repl.session import Mark, Session, Turn
from repl.session_knobs import HEAT
from repl.text_model import TextModel

if TYPE_CHECKING:
    from checkpoints.loading import Loaded

LARGEST = 1 << 30
"""Bytes of a session file that is read at all."""


def open_session(session: Session, name: str) -> None:
    """Go on with a saved session in the place of the present one, which stays as it is if the file is not usable."""
    path = expanded(name)
    data = _read(path)
    try:
        _restore(session, data)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError, OverflowError) as error:
        raise CelloquyError(f"{path} is not a session as /save wrote it") from error
    except CelloquyError as error:
        raise CelloquyError(f"{path} cannot be opened: {plain(str(error))}") from error


def saved_checkpoint(path: Path) -> str:
    """Where the checkpoint lies that a saved session was written with, or its name if it is gone."""
    data = _read(path)
    try:
        saved = data["checkpoint"]
        return str(saved["path"] if _is_there(saved["path"]) else saved["name"])
    except (KeyError, TypeError, ValueError) as error:
        raise CelloquyError(f"{path} is not a session as /save wrote it") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for without end
            raise CelloquyError(f"{path} is not a file")
        if status.st_size > LARGEST:
            raise CelloquyError(f"{path} is too large for a session")
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise CelloquyError(f"{path} could not be read: {os.strerror(error.errno or 0)}") from error
    except (ValueError, RecursionError):
        raise CelloquyError(f"{path} is not a session that /save wrote: it is not JSON") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise CelloquyError(f"{path} is not a session of format {FORMAT} that /save wrote")
    return data


def _restore(session: Session, data: Mapping[str, Any]) -> None:
    """Everything is built and checked before anything of the session changes."""
    models = [session.models.ready(_load(session, saved["checkpoint"])) for saved in data["readings"]]
    changed = [
        fingerprint(model.loaded) != saved["checkpoint"]["fingerprint"]
        for model, saved in zip(models, data["readings"], strict=True)
    ]
    if changed[data["at"][0]]:
        _restore_text(session, data, models[data["at"][0]])
        return
    built = [
        None if bad else reading_from(saved["passages"], model)
        for bad, saved, model in zip(changed, data["readings"], models, strict=True)
    ]

    def place(saved: Mapping[str, Any]) -> Snapshot | None:
        found = built[saved["at"][0]]
        if found is None:
            return None
        reading, passages = found
        passage = passages[saved["at"][1]]
        reading.go_to(passage)
        return Snapshot(reading, passage, reading.position, _values(session, saved), randomness_from(saved["random"]))

    marks = {str(name): (place(saved), _turns(saved["turns"])) for name, saved in data["marks"].items()}
    here = place(data)
    assert here is not None
    turns = _turns(data["turns"])
    _apply(session, data)
    session.writer.restore(here)
    session.turns = turns
    session.marks = {name: Mark(found, tuple(turns)) for name, (found, turns) in marks.items() if found is not None}
    for name in marks.keys() - session.marks.keys():
        session.say(f"mark {name} is left out: its checkpoint is another one now", "warning")


def _restore_text(session: Session, data: Mapping[str, Any], model: TextModel) -> None:
    """The checkpoint is no longer the one that wrote: the one there is reads the text anew."""
    randomness = randomness_from(data["random"])
    reading = Reading(model, randomness)
    reading.read(str(data["transcript"]))
    values, turns = _values(session, data), _turns(data["turns"])
    _apply(session, data)
    session.writer.restore(Snapshot(reading, reading.seal(), reading.position, values, randomness))
    session.turns, session.marks = turns, {}
    session.say(f"{model.name} is not what wrote this any more: it has read the text anew, without marks", "warning")


def _load(session: Session, checkpoint: Mapping[str, Any]) -> Loaded:
    """The checkpoint that a session names: by its path if that is still there, else by its name."""
    path, cell = str(checkpoint["path"]), str(checkpoint["cell"])
    name = path if _is_there(path) else str(checkpoint["name"])
    if not is_mixture(cell):
        return session.models.load(name)
    first = session.models.load(path if _is_there(path) else name.removesuffix(f".{cell}"))
    return mix(cell, lambda member: session.models.sibling(first, member))


def _is_there(path: str) -> bool:
    """Whether a file is still where the session says; a stranger's session may say anything."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def _values(session: Session, saved: Mapping[str, Any]) -> dict[str, Any]:
    """The sampling settings; those of samplers that are not plugged in any more are left out."""
    options = session.writer.settings.options
    return options.validate({name: value for name, value in saved["settings"].items() if name in options})


def _turns(data: Any) -> list[Turn]:
    return [Turn(int(start), int(answer)) for start, answer in data]


def _apply(session: Session, data: Mapping[str, Any]) -> None:
    """The settings that are not a writer's."""
    chat, heat = data["chat"], data["heat"]
    template, candidates = Template.from_json(chat["template"]), min(MOST_CANDIDATES, max(1, int(chat["candidates"])))
    length, speed = max(0, int(data["length"])), max(0, int(data["speed"]))
    session.stop()
    session.length, session.speed = length, speed
    session.heat = heat if heat in HEAT else "off"
    session.chat.template, session.chat.on, session.chat.candidates = template, bool(chat["on"]), candidates

"""``celloquy export``: a checkpoint for other programs, as a state dictionary or as ONNX."""

from __future__ import annotations

from pathlib import Path

import click

from repl.click_options import current_program


@click.command("export")
@click.argument("name", metavar="NAME")
@click.option("--cell", metavar="CELL", help="The family's checkpoint of this cell.")
@click.option("--onnx", is_flag=True, help="Write ONNX: one step, with every state as an input and an output.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Folder for the files. [default: the present one]",
)
def command(name: str, cell: str | None, onnx: bool, out: Path) -> None:
    """Write NAME for other programs: the weights as a state dictionary of torch's own modules, and the vocabulary.

    Prints what was written: NAME.weights.safetensors (or NAME.onnx) and NAME.vocabulary.json.
    """
    from checkpoints.finding import find

    path = find(name, cell)
    registry = current_program().registry()
    from checkpoints.loading import load_checkpoint

    loaded = load_checkpoint(path, registry=registry)
    if onnx:
        from checkpoints.onnx_file import export_onnx

        written = export_onnx(loaded, out)
    else:
        from checkpoints.exchange import export_weights

        written = export_weights(loaded, out)
    for file in written:
        click.echo(file)

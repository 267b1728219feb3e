"""``celloquy import``: a state dictionary of torch's own modules becomes a checkpoint."""

from __future__ import annotations

from pathlib import Path

import click

from repl.streams import argument_text


@click.command("import")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--vocabulary",
    required=True,
    metavar="FILE.json",
    help="JSON list of the characters by id, or an object character -> id; or bytes.",
)
@click.option("--name", required=True, metavar="TEXT", help="Name of the checkpoint: NAME.CELL.safetensors.")
@click.option(
    "--arch",
    type=click.Choice(["auto", "rnn", "lstm", "gru"]),
    default="auto",
    help="What it is; auto tells by the shapes. [default: auto]",
)
@click.option(
    "--activation", type=click.Choice(["tanh", "relu"]), default="tanh", help="That of an nn.RNN. [default: tanh]"
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("checkpoints"),
    metavar="DIR",
    help="Folder for the checkpoint. [default: ./checkpoints]",
)
def command(file: Path, vocabulary: str, name: str, arch: str, activation: str, out: Path) -> None:
    """Make a checkpoint of FILE, the state dictionary of a plain PyTorch model, as .safetensors.

    The model is an nn.Embedding, an nn.RNN, nn.LSTM or nn.GRU, and an nn.Linear.
    Weights only: no pickle is read and no code is run. Prints where the checkpoint was written.
    """
    from checkpoints.exchange import import_weights

    click.echo(import_weights(file, argument_text(vocabulary), argument_text(name), out, arch, activation))

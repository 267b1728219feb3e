"""``celloquy completion``: the script by which a shell completes the program's command lines."""

from __future__ import annotations

import click

from repl.shell_completion import SHELLS, script


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the script that makes SHELL complete commands, checkpoints, cells and options.

    In bash, put eval "$(celloquy completion bash)" into ~/.bashrc, and the same with zsh into ~/.zshrc; for fish:
    celloquy completion fish > ~/.config/fish/completions/celloquy.fish
    """
    from repl.cli import cli

    click.echo(script(shell, cli))

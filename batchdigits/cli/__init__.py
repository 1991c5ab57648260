"""The command line: flags to one library call to an exit code. Nothing else here; nothing below prints or exits.

Imports of the library stand inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from batchdigits import __version__
from batchdigits.cli.classify import classify
from batchdigits.cli.evaluate import evaluate
from batchdigits.cli.inspect import inspect
from batchdigits.cli.models import models
from batchdigits.cli.plain import PlainCommand, PlainGroup
from batchdigits.cli.train import train
from batchdigits.cli.watch import watch

app = typer.Typer(
    name="batchdigits",
    cls=PlainGroup,
    help="Handwritten digits in photos and scans to rows of data: a prediction, an honest confidence, a status.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (classify, watch, evaluate, inspect, train, models):
    app.command(cls=PlainCommand)(command)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"batchdigits {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Handwritten digits in photos and scans to rows of data: a prediction, an honest confidence, a status."""


def main() -> None:
    """Run the command line."""
    app()

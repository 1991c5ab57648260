"""The command `models`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from batchdigits.cli.common import ModelsDirOption, exit_codes, say
from batchdigits.errors import ExitCode


class TableFormat(StrEnum):
    """Formats of `models`."""

    TABLE = "table"
    JSON = "json"
    MD = "md"


def models(
    models_dir: ModelsDirOption = None,
    form: Annotated[
        TableFormat, typer.Option("--format", "-f", help="Format of the table.", envvar="BATCHDIGITS_TABLE_FORMAT")
    ] = TableFormat.TABLE,
) -> None:
    """List the models and their measured scores."""
    with exit_codes():
        from batchdigits.report.model_table import describe, format_table

        found, damaged = describe(models_dir)
        typer.echo(format_table(found, form.value), nl=False)
        for message in damaged:
            say(f"batchdigits: {message}")
        if damaged:
            raise typer.Exit(ExitCode.MODEL)

"""The command `inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from batchdigits.cli.common import LayoutOption, ModelOption, ModelsDirOption, exit_codes, say
from batchdigits.errors import UsageError
from batchdigits.types import Layout


def inspect(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The picture.")],
    model: ModelOption = "cnn",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Where the PNG goes.",
            envvar="BATCHDIGITS_INSPECT_OUTPUT",
            show_default="NAME.inspect.png",
        ),
    ] = None,
    page: Annotated[int, typer.Option(min=1, help="Page of a TIFF.", envvar="BATCHDIGITS_PAGE")] = 1,
    region: Annotated[
        str | None, typer.Option(metavar="[NAME=]X,Y,W,H", help="Only this part of it.", envvar="BATCHDIGITS_REGION")
    ] = None,
    layout: LayoutOption = Layout.DIGIT,
    models_dir: ModelsDirOption = None,
) -> None:
    """Draw on one PNG how a picture is read.

    Every step from photo to tile, and the ten probabilities, or all digits of a number or page.
    """
    with exit_codes():
        from batchdigits.classifiers.runner import load_model
        from batchdigits.report.inspection import inspect_image
        from batchdigits.writers import atomic_file

        target = output or Path(f"{image.name}.inspect.png")
        if target.suffix.lower() != ".png" and not target.is_dir():  # BATCHDIGITS_OUTPUT may be the rows of `classify`
            raise UsageError(f"--output {target} is no .png, which the drawing is.")
        if target.exists() and image.exists() and target.samefile(image):
            raise UsageError(f"--output {target} is the picture itself.")
        classifier = load_model(model, models_dir)
        row, png = inspect_image(image, classifier, page=page, region=region, layout=layout)
        with atomic_file(target) as file:
            file.write(png)
        reason = f" ({row.reason})" if row.reason else ""
        say(f"{row.prediction or 'no digit'}, confidence {row.confidence:.6f}, {row.status.value}{reason} -> {target}")

"""The command `train`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from batchdigits.cli.common import ModelsDirOption, QuietOption, available_cores, count_aloud, exit_codes, say


def train(
    name: Annotated[
        str, typer.Argument(metavar="NAME|all", help="knn, rf, logreg, svm, ann, cnn, cnn2, ensemble, or all of them.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="An .npz in the layout of Keras' mnist.npz, or a folder with your own photos in a folder per digit.",
            envvar="BATCHDIGITS_DATA",
            show_default="Keras' own download of MNIST",
        ),
    ] = None,
    with_mnist: Annotated[
        bool, typer.Option("--with-mnist", help="Add MNIST to --data.", envvar="BATCHDIGITS_WITH_MNIST")
    ] = False,
    mnist: Annotated[
        Path | None,
        typer.Option(
            help="Where --with-mnist finds MNIST, as an .npz.",
            envvar="BATCHDIGITS_MNIST",
            show_default="Keras' own download",
        ),
    ] = None,
    models_dir: ModelsDirOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same data: same model.", envvar="BATCHDIGITS_SEED")] = 0,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Passes over the data, for ann, cnn and cnn2.",
            envvar="BATCHDIGITS_EPOCHS",
            show_default="the recipe's own",
        ),
    ] = None,
    simulated: Annotated[
        int,
        typer.Option(
            min=0,
            help="Simulated photos added to the data; distorted digits and pictures of other things go with them.",
            envvar="BATCHDIGITS_SIMULATED",
        ),
    ] = 20_000,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            help="Processes that prepare pictures. The model is the same for any number.",
            envvar="BATCHDIGITS_JOBS",
            show_default="all cores",
        ),
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Train a model, save it, print its scores.

    It learns from MNIST, or the digits in --data, and from simulated photos.
    """
    with exit_codes():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow greets with pages of advice
        from batchdigits.classifiers.store import user_models
        from batchdigits.training.job import train_models
        from batchdigits.training.progress import silent

        place = models_dir or user_models()
        tell = (lambda _: None) if quiet else say
        for card in train_models(
            [name],
            place,
            data=data,
            with_mnist=with_mnist,
            mnist=mnist,
            seed=seed,
            epochs=epochs,
            simulated=simulated,
            jobs=jobs or available_cores(),
            say=tell,
            progress=silent if quiet else count_aloud,
        ):
            tell(f"{card.name}: saved to {place / card.name}")
            for key, value in card.scores.items():
                typer.echo(f"{card.name} {key}: {value}")

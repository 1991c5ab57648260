"""What batchdigits is measured against: each is a small program of its own, run by `speed.py` and told its folder.

    python benchmarks/speed_ways.py decode HOW WORKERS FOLDER
    python benchmarks/speed_ways.py webapp FOLDER
    python benchmarks/speed_ways.py rapidocr recognise|detect FOLDER
    python benchmarks/speed_ways.py tesseract FOLDER

The first is timed as a whole and prints nothing. The others load what they need, do a few files to warm up, and then
print the seconds that all of them took, and their library's version, as JSON. Nothing here needs batchdigits: RapidOCR
may be installed elsewhere.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

WARM_UP = 3  # files


def decode(how: str, workers: int, paths: Sequence[Path]) -> None:
    """Read and decode files, and do no more: what nobody who looks at pixels can save."""
    import cv2

    flags = {
        "colour": cv2.IMREAD_COLOR,
        "colour/2": cv2.IMREAD_REDUCED_COLOR_2,
        "colour/4": cv2.IMREAD_REDUCED_COLOR_4,
        "colour/8": cv2.IMREAD_REDUCED_COLOR_8,
        "grey/4": cv2.IMREAD_REDUCED_GRAYSCALE_4,
    }
    flag = flags[how]
    cv2.setNumThreads(1)  # the workers share the cores already

    import numpy as np

    def one(path: Path) -> None:
        if cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), flag) is None:
            raise SystemExit(f"{path} cannot be decoded")

    with ThreadPoolExecutor(workers) as pool:  # OpenCV lets go of Python's lock while it decodes
        for _ in pool.map(one, paths):
            pass


def time_all(work: Callable[[Path], object], paths: Sequence[Path]) -> float:
    """Return the seconds that all files take, one after the other, once everything is warm."""
    for path in paths[:WARM_UP]:
        work(path)
    started = time.perf_counter()
    for path in paths:
        work(path)
    return time.perf_counter() - started


def webapp(paths: Sequence[Path]) -> tuple[float, str]:
    """Read digits as web apps for them do: squeeze a picture to 28 x 28, and ask a Keras model, one by one."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import numpy as np
    from PIL import Image

    layers = keras.layers
    # the tutorials' network; as it is not trained it knows nothing, but takes as long
    model = keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip

    def one(path: Path) -> int:
        picture = Image.open(path).convert("L").resize((28, 28))
        pixels = np.asarray(picture, dtype=np.float32).reshape(1, 28, 28, 1) / 255
        return int(model.predict(pixels, verbose=0).argmax())

    return time_all(one, paths), f"Keras {keras.__version__}"


def rapidocr(how: str, paths: Sequence[Path]) -> tuple[float, str]:
    """Let RapidOCR read whole files: recognise the one line there is, or look for text first."""
    from rapidocr_onnxruntime import RapidOCR

    engine = RapidOCR()
    options: dict[str, Any] = {} if how == "detect" else {"use_det": False, "use_cls": False, "use_rec": True}
    seconds = time_all(lambda path: engine(str(path), **options), paths)
    return seconds, f"RapidOCR {version('rapidocr-onnxruntime')}"


def tesseract(paths: Sequence[Path]) -> tuple[float, str]:
    """Let Tesseract read whole files as one character, a process for each: so it is called from Python."""
    options = ["-", "--psm", "10", "-c", "tessedit_char_whitelist=0123456789"]

    def one(path: Path) -> None:
        subprocess.run(["tesseract", str(path), *options], capture_output=True, check=True)

    found = subprocess.run(["tesseract", "--version"], capture_output=True, text=True, check=True)
    return time_all(one, paths), (found.stdout or found.stderr).splitlines()[0].capitalize()


def main() -> None:
    """Do one of them."""
    way, *arguments, folder = sys.argv[1:]
    paths = [Path(entry.path) for entry in sorted(os.scandir(folder), key=lambda entry: entry.name)]
    if way == "decode":
        decode(arguments[0], int(arguments[1]), paths)
        return
    if way == "rapidocr":
        seconds, name = rapidocr(arguments[0], paths)
    else:
        seconds, name = {"webapp": webapp, "tesseract": tesseract}[way](paths)
    print(json.dumps({"seconds": seconds, "files": len(paths), "version": name}))


if __name__ == "__main__":
    main()

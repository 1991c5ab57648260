"""How fast batchdigits is, as ratios to what bounds it and to what else there is, all measured in one run.

    python benchmarks/speed.py [--peers-python PATH] [--inputs DIR]
    python benchmarks/speed.py --quick --only photos pages
    python benchmarks/speed.py --profile

Makes its own pictures, measures whole processes and, with pytest-benchmark, the kernels; prints what was found and
which bars are met, and writes `benchmarks/RESULTS.md`. What is quick or only a part is written nowhere, unless told
where. RapidOCR, Tesseract and TensorFlow are measured where they are installed. Linux only: memory is asked of /proc.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import traceback
from dataclasses import replace
from pathlib import Path

from speed_profile import print_profiles
from speed_report import machine, results
from speed_sections import FULL, QUICK, SECTIONS, Setup

RESULTS = Path(__file__).with_name("RESULTS.md")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="few files, each way once: a trial, whose figures say little"
    )
    parser.add_argument("--only", nargs="+", choices=SECTIONS, metavar="NAME", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--inputs", type=Path, metavar="DIR", help="keep the pictures there, and use those it has")
    parser.add_argument("--photos", type=int, metavar="COUNT", help="files in the large folder of 12 MP photos")
    parser.add_argument("--small", type=int, metavar="COUNT", help="files in the large folder of 28 x 28 PNGs")
    parser.add_argument("--pages", type=int, metavar="COUNT", help="files in the large folder of A4 pages")
    parser.add_argument("--repeats", type=int, metavar="COUNT", help="rounds")
    parser.add_argument("--peers-python", default=sys.executable, metavar="PATH", help="an interpreter with RapidOCR")
    parser.add_argument("--results", type=Path, metavar="PATH", help=f"where to write them; {RESULTS.name} beside this")
    parser.add_argument("--profile", action="store_true", help="print where the time goes instead")
    return parser.parse_args()


def main() -> None:
    """Measure, print, write."""
    arguments = parse()
    about = machine()
    sizes = QUICK if arguments.quick else FULL
    given = {name: getattr(arguments, name) for name in ("photos", "small", "pages", "repeats")}
    sizes = replace(sizes, **{name: count for name, count in given.items() if count})
    with tempfile.TemporaryDirectory() as scratch:
        for name in [name for name in os.environ if name.startswith("BATCHDIGITS_")]:
            del os.environ[name]  # every flag reads one
        os.environ["XDG_DATA_HOME"] = scratch  # models that travel in the wheel, not those that someone has trained
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        setup = Setup(arguments.inputs or Path(scratch, "inputs"), sizes, arguments.peers_python)
        if arguments.profile:
            print_profiles(setup.pictures("photo"), setup.pictures("small"), setup.pictures("page"))
            return
        sections, failed = [], []
        for name in arguments.only or SECTIONS:
            print(f"{name} ...", file=sys.stderr, flush=True)
            try:
                sections.append(SECTIONS[name](setup))
            except (Exception, SystemExit):  # what the others have measured must not be lost
                traceback.print_exc()
                failed.append(name)
    text = results(about, sections)
    print(text)
    partial = arguments.quick or arguments.only or failed
    if path := arguments.results or (None if partial else RESULTS):
        path.write_text(text, encoding="utf-8")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()

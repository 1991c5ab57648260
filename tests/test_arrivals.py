from __future__ import annotations

import threading

from batchdigits.sources.arrivals import watch_sources
from batchdigits.sources.walk import find_sources


def test_what_comes_between_a_look_and_the_watch_is_not_missed(tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    stop = threading.Event()

    def put(name):
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")

    def watch(*folders, **_):
        """Watch a folder that is replaced; to the new one a file comes just before it is watched, and none after."""
        if (folder / "new.png").exists():
            put("late.png")
        yield set()
        if not (folder / "new.png").exists():
            folder.rename(tmp_path / "elsewhere")
            put("new.png")
        yield set()
        for _ in range(20):
            yield set()
        stop.set()

    monkeypatch.setattr("watchfiles.watch", watch)
    put("early.png")
    found = []
    for listing in watch_sources([folder], lambda: find_sources([folder]), settle=0.0, skip=(), stop=stop):
        if not stop.is_set():
            found.append([source.name for source in listing.sources])
    assert found[0] == ["early.png"]
    assert ["new.png"] in found
    assert found[-1] == ["late.png", "new.png"]

"""Work in processes: in order, bounded, and alive whatever a piece does to its process."""

import os
import pickle
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import cloudpickle
import pytest

from batchdigits import pool as pool_module
from batchdigits.pool import Pool, Task

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # worker processes do not know this file


def work(piece):
    name, pages = piece
    if name == "kills":
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "kills on page 2" and 2 in pages:
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "hangs":
        time.sleep(60)
    if name.startswith("kills until "):  # so many lives have gone
        lives = Path(name.removeprefix("kills until "))
        if len(list(lives.iterdir())) < 2:
            tempfile.mkstemp(dir=lives)
            os.kill(os.getpid(), signal.SIGKILL)
    if name == "slow":
        time.sleep(1)
    return name, tuple(pages), os.getpid()


def follow(piece, result):
    return [(piece[0], [page]) for page in (2, 3)] if piece[0] == "document" and piece[1] == [1] else []


def split(piece):
    return [(piece[0], [page]) for page in piece[1]] if len(piece[1]) > 1 else []


def give_up(piece, why):
    return "given up", tuple(piece[1]), why


TASK = Task(work, follow, split, give_up, lambda pieces: len(list(pieces)) < 5)


def run(pieces, *, jobs=2, here=False, stop=None):
    pool = Pool(TASK, jobs=jobs, stop=stop or threading.Event())
    return [(piece[0], result[0], result[1]) for piece, result in filter(None, pool.results(pieces, here=here))]


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_order_and_what_follows_comes_right_after(jobs, here):
    pieces = [(f"{number}", [1]) for number in range(40)]
    pieces.insert(7, ("document", [1]))
    expected = [(name, name, (1,)) for name, _ in pieces[:8]]
    expected += [("document", "document", (2,)), ("document", "document", (3,))]
    expected += [(name, name, (1,)) for name, _ in pieces[8:]]
    assert run(pieces, jobs=jobs, here=here) == expected


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_piece_that_kills_its_process_costs_itself_alone(jobs):
    pieces = [(f"{number}", [1]) for number in range(30)]
    pieces[11] = ("kills", [1])
    found = run(pieces, jobs=jobs)
    assert [name for name, *_ in found] == [name for name, _ in pieces]
    assert [result for _, result, _ in found if result == "given up"] == ["given up"]
    assert found[11] == ("kills", "given up", (1,))


def test_a_suspect_whose_own_process_is_killed_as_well_gets_another(tmp_path):
    name = f"kills until {tmp_path}"
    assert run([(name, [1])]) == [(name, name, (1,))]
    assert len(list(tmp_path.iterdir())) == 2  # in a process for all, and in one of its own


def test_of_several_pages_only_the_one_that_kills_is_lost():
    found = run([("kills on page 2", [1, 2, 3]), ("x", [1])])
    assert [(result, pages) for _, result, pages in found] == [
        ("kills on page 2", (1,)),
        ("given up", (2,)),
        ("kills on page 2", (3,)),
        ("x", (1,)),
    ]


def test_a_piece_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(pool_module, "_PATIENCE", 6.0)
    monkeypatch.setattr(pool_module, "_PATIENCE_ALONE", 5.0)  # the start of new processes, which import all this, too
    pieces = [(f"{number}", [1]) for number in range(30)]
    pieces[3] = ("hangs", [1])
    found = run(pieces)
    assert [result for _, result, _ in found] == ["0", "1", "2", "given up", *map(str, range(4, 30))]


def test_pieces_are_taken_as_they_are_needed():
    taken = []

    def pieces():
        for number in range(100_000):
            taken.append(number)
            yield f"{number}", [1]

    results = Pool(TASK, jobs=2, stop=threading.Event()).results(pieces(), here=False)
    for _ in range(50):
        next(results)
    assert len(taken) <= 5 * pool_module._MOST
    results.close()


def test_while_nothing_comes_whoever_collects_is_told(monkeypatch):
    monkeypatch.setattr(pool_module, "_BEAT", 0.1)
    pool = Pool(TASK, jobs=1, stop=threading.Event())
    told = list(pool.results([("slow", [1])], here=False))
    assert told[-1][1][0] == "slow"
    assert len(told) > 5 and not any(told[:-1])


@pytest.mark.parametrize("here", [True, False])
def test_once_stopped_only_what_is_in_hand_is_finished(here):
    stop = threading.Event()
    pool = Pool(TASK, jobs=2, stop=stop)
    found = []
    pieces = ((f"{number}", [1]) for number in range(10_000))
    for piece, _ in filter(None, pool.results(pieces, here=here)):
        found.append(piece[0])
        if len(found) == 20:
            stop.set()
    assert found == [str(number) for number in range(len(found))]  # no gap
    assert 20 <= len(found) < 100


def test_processes_ignore_the_signals_that_stop_a_run():
    pieces = [(f"{number}", [1]) for number in range(400)]
    results = Pool(TASK, jobs=2, stop=threading.Event()).results(iter(pieces), here=False)
    names, told = [], Counter()
    for piece, (_, _, pid) in filter(None, results):
        names.append(piece[0])
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid, number)
            told[pid] += 1
    assert names == [name for name, _ in pieces]
    assert os.getpid() not in told and len(told) <= 2  # nobody died and was replaced


def test_chunks_grow_with_quick_pieces_and_shrink_with_slow_ones():
    assert pool_module._next_size(8, [(None, 0.001)] * 8) == 16
    assert pool_module._next_size(128, [(None, 0.0001)] * 8) == 256
    assert pool_module._next_size(256, [(None, 0.0001)] * 8) == 256
    assert pool_module._next_size(256, [(None, 0.0)]) == 256
    assert pool_module._next_size(16, [(None, 0.03)] * 16) == 3
    assert pool_module._next_size(3, [(None, 5.0)]) == 2
    assert pool_module._next_size(8, [(None, 1.0), *[(None, 0.001)] * 7]) == 16


def test_a_call_returns_when_its_turn_is_over_and_the_rest_comes_in_order():
    pieces = [(f"{number}" if number % 3 else "slow", [1]) for number in range(9)]
    found = pool_module._work(pickle.dumps(work), pickle.dumps(pieces[:3]), "")
    assert len(pool_module._unpack(found)) == 1
    assert [name for name, *_ in run(pieces)] == [name for name, _ in pieces]


def test_large_results_do_not_go_through_the_pipe_that_processes_share(tmp_path):
    small, large = b"x" * 100, pickle.dumps([("x" * 100_000, 0.1)])
    assert pool_module._pack(small, str(tmp_path)) == small
    path = pool_module._pack(large, str(tmp_path))
    assert [path] == [str(left) for left in tmp_path.iterdir()]
    assert pool_module._unpack(path) == [("x" * 100_000, 0.1)]
    assert not list(tmp_path.iterdir())
    for no_folder in ("", str(tmp_path / "gone")):
        assert pool_module._pack(large, no_folder) == large


def test_large_results_leave_nothing_behind(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pieces = [(f"{number:05000}", [1]) for number in range(20)]
    assert [name for name, *_ in run(pieces)] == [name for name, _ in pieces]
    assert not list(tmp_path.iterdir())
    results = Pool(TASK, jobs=2, stop=threading.Event()).results(pieces, here=False)
    next(results)
    results.close()
    assert not list(tmp_path.iterdir())

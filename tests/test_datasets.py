"""Where training data comes from: one entry for all kinds, MNIST added to one's own, a download that fails."""

from __future__ import annotations

import contextlib
import functools
import http.server
import importlib.util
import io
import os
import socket
import sys
import threading
import types
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image

from batchdigits.errors import DataError, DependencyError, UsageError
from batchdigits.imaging.settings import ImagingSettings
from batchdigits.training import datasets
from batchdigits.training.datasets import Dataset, check_arrays, dataset_tiles, join_mnist, load_data, load_npz
from batchdigits.training.download import DownloadError, retry
from batchdigits.training.simulator import simulate_photo
from batchdigits.training.tiles import tile_pictures

SETTINGS = ImagingSettings()


def arrays(seed=0, side=28, per_digit=20, test=2):
    """Bars instead of digits, in MNIST's layout: what they show does not matter here."""
    rng = np.random.default_rng(seed)

    def part(count):
        pictures = np.zeros((10 * count, side, side), np.uint8)
        for picture in pictures:
            top, left = rng.integers(4, 10, 2)
            picture[top : top + 14, left : left + 4] = 255
        return pictures, np.tile(np.arange(10), count)

    (x_train, y_train), (x_test, y_test) = part(per_digit), part(test)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def bytes_of(**parts):
    buffer = io.BytesIO()
    np.savez(buffer, **parts)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def mnist():
    return check_arrays("MNIST", arrays())


@pytest.fixture
def with_keras(monkeypatch, mnist):
    """A Keras whose MNIST is ours."""

    def load():
        return (mnist.x_train, mnist.y_train), (mnist.x_test, mnist.y_test)

    give_keras(monkeypatch, load)


def give_keras(monkeypatch, load):
    module = types.ModuleType("keras.datasets")
    module.mnist = types.SimpleNamespace(load_data=load)
    monkeypatch.setitem(sys.modules, "keras", types.ModuleType("keras"))
    monkeypatch.setitem(sys.modules, "keras.datasets", module)


@pytest.fixture
def folder(tmp_path):
    """A user's own: six sevens, and no other digit."""
    rng = np.random.default_rng(1)
    (tmp_path / "mine" / "7").mkdir(parents=True)
    for number in range(6):
        photo = simulate_photo(7, rng, difficulty=0)[..., ::-1]
        Image.fromarray(photo).save(tmp_path / "mine" / "7" / f"{number}.png")
    return tmp_path / "mine"


# one entry for all kinds


def test_without_a_path_it_is_mnist(with_keras, mnist):
    dataset, name = load_data(None, SETTINGS)
    assert name == "MNIST"
    assert dataset.digest == mnist.digest


def test_a_file_is_an_npz_and_gives_the_name(tmp_path, mnist):
    (tmp_path / "own.npz").write_bytes(bytes_of(**arrays()))
    dataset, name = load_data(tmp_path / "own.npz", SETTINGS)
    assert name == "own.npz"
    assert dataset.digest == mnist.digest


def test_a_folder_gives_its_name_even_from_within(folder, with_keras, monkeypatch):
    monkeypatch.chdir(folder)
    _, name = load_data(folder.__class__("."), SETTINGS, with_mnist=True)
    assert name == "mine + MNIST"


def test_a_folder_alone_needs_all_digits(folder):
    with pytest.raises(DataError, match="none of 0, none of 1"):
        load_data(folder, SETTINGS)


def test_mnist_is_taken_from_a_file_where_it_cannot_be_downloaded(folder, tmp_path, mnist, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    (tmp_path / "there.npz").write_bytes(bytes_of(**arrays()))
    dataset, name = load_data(folder, SETTINGS, with_mnist=True, mnist=tmp_path / "there.npz")
    assert name == "mine + MNIST"
    assert len(dataset.y_train) == 5 + len(mnist.y_train)
    with pytest.raises(DataError, match="does not exist"):
        load_data(folder, SETTINGS, with_mnist=True, mnist=tmp_path / "gone.npz")
    with pytest.raises(UsageError, match="--with-mnist"):
        load_data(folder, SETTINGS, mnist=tmp_path / "there.npz")


def test_mnist_cannot_be_added_to_nothing():
    with pytest.raises(UsageError, match="--with-mnist.*--data"):
        load_data(None, SETTINGS, with_mnist=True)


@pytest.mark.parametrize("name", ["gone.npz", "gone/mnist.npz", "n" * 300, "a\0b"])
def test_a_path_that_does_not_exist(tmp_path, name):
    with pytest.raises(DataError, match="does not exist|cannot be read"):
        load_data(tmp_path / name, SETTINGS)


# .npz


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a | {"x_train": a["x_train"] / np.float32(255)}, "x_train is float32"),
        (lambda a: a | {"x_test": np.full(a["x_test"].shape, np.nan)}, "x_test is float64"),
        (lambda a: a | {"y_train": np.where(a["y_train"] == 3, np.inf, a["y_train"])}, "y_train is float64"),
        (lambda a: a | {"x_train": a["x_train"][..., None]}, r"x_train is uint8 \(200, 28, 28, 1\)"),
        (lambda a: a | {"x_test": a["x_test"][:, :14]}, r"x_test is \(20, 14, 28\), of another picture size"),
        (lambda a: a | {"y_train": a["y_train"][:, None]}, r"y_train is int64 \(200, 1\)"),
        (lambda a: a | {"y_train": a["y_train"] - 1}, "y_train has labels outside 0-9"),
        (lambda a: a | {"y_train": np.eye(10, dtype=int)[a["y_train"]]}, r"y_train is int64 \(200, 10\)"),
        (lambda a: a | {"y_train": np.array(["7"] * 200)}, "y_train is <U1"),
        (lambda a: {k: v[: len(v) // 2] for k, v in a.items()}, "only 10 training examples of 0; at least 20"),
        (lambda a: a | {"y_test": np.array([None] * 20)}, "cannot be read as an .npz"),
        (lambda a: {"images": a["x_train"], "y_train": a["y_train"]}, "has no x_train, x_test, y_test"),
    ],
)
def test_an_odd_npz_is_refused_with_what_is_odd(tmp_path, change, message):
    np.savez(tmp_path / "odd.npz", **change(arrays()))
    with pytest.raises(DataError, match=message):
        load_data(tmp_path / "odd.npz", SETTINGS)


def test_an_npz_without_test_pictures_is_welcome(tmp_path):
    np.savez(tmp_path / "all.npz", **arrays(test=0))
    dataset, _ = load_data(tmp_path / "all.npz", SETTINGS)
    train, test = dataset_tiles(dataset, SETTINGS, jobs=1)
    assert (len(train), len(test)) == (200, 0)


def test_a_file_that_is_no_archive(tmp_path):
    (tmp_path / "digit.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    np.save(tmp_path / "alone.npy", np.zeros(3))
    for name in ("digit.png", "alone.npy"):
        with pytest.raises(DataError, match=r"cannot be read as an \.npz archive"):
            load_data(tmp_path / name, SETTINGS)


def test_an_encrypted_archive_is_refused(tmp_path):
    np.savez(tmp_path / "locked.npz", **arrays())
    data = bytearray((tmp_path / "locked.npz").read_bytes())
    with zipfile.ZipFile(tmp_path / "locked.npz") as archive:
        at = archive.infolist()[0].header_offset
    data[at + 6] |= 1  # the flag alone, in both headers: enough for zipfile to ask for a password
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "locked.npz").write_bytes(data)
    with pytest.raises(DataError, match="encrypted"):
        load_data(tmp_path / "locked.npz", SETTINGS)


def test_a_damaged_header_is_refused(tmp_path):
    data = bytes_of(**arrays())
    with zipfile.ZipFile(tmp_path / "bad.npz", "w") as archive:
        for key in zipfile.ZipFile(io.BytesIO(data)).namelist():
            archive.writestr(key, zipfile.ZipFile(io.BytesIO(data)).read(key).replace(b"'shape': (", b"'shape' (("))
    with pytest.raises(DataError, match=r"cannot be read as an \.npz archive"):
        load_npz(tmp_path / "bad.npz")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(DataError, match="is no file"):
        load_npz(tmp_path / "pipe.npz")


# one's own and MNIST


@pytest.fixture
def own(folder):
    return datasets.load_folder(folder, SETTINGS, jobs=1, fewest=0)


def test_own_digits_and_mnist_are_joined_and_told_apart(own, mnist):
    both = join_mnist(own, mnist, SETTINGS, jobs=1)
    assert (both.x_train == np.concatenate([own.x_train, mnist.x_train])).all()
    assert (both.y_train == np.concatenate([own.y_train, mnist.y_train])).all()
    assert {title: len(both.y_test[where]) for title, where in both.test_parts.items()} == {"test": 1, "mnist": 20}
    assert (both.y_test[both.test_parts["test"]] == own.y_test).all()
    assert (both.x_test[both.test_parts["mnist"]] == mnist.x_test).all()
    assert len({own.digest, mnist.digest, both.digest}) == 3


def test_tiles_from_photos_are_kept_and_mnist_s_are_made(own, mnist):
    train, test = dataset_tiles(join_mnist(own, mnist, SETTINGS, jobs=1), SETTINGS, jobs=1)
    made = tile_pictures(mnist.x_train, mnist.y_train, SETTINGS, jobs=1)
    assert (train.pixels == np.concatenate([own.tiles_train, made.pixels])).all()
    assert (test.pixels[:1] == own.tiles_test).all()
    assert len(test) == 21


def test_all_tests_of_other_data_are_one_part(mnist):
    assert mnist.test_parts == {"test": slice(None)}


def test_an_npz_without_tests_leaves_mnist_s(mnist):
    own = check_arrays("own", arrays(seed=3, test=0))
    both = join_mnist(own, mnist, SETTINGS, jobs=1)
    assert {title: len(both.y_test[where]) for title, where in both.test_parts.items()} == {"test": 0, "mnist": 20}


def test_pictures_of_another_size_are_refused(mnist):
    with pytest.raises(DataError, match=r"32 x 32 .*MNIST's of 28 x 28"):
        join_mnist(check_arrays("own", arrays(side=32)), mnist, SETTINGS, jobs=1)


def test_mnist_is_not_added_to_itself(mnist, with_keras, tmp_path):
    np.savez(tmp_path / "mnist.npz", **arrays())
    with pytest.raises(DataError, match="MNIST already"):
        load_data(tmp_path / "mnist.npz", SETTINGS, with_mnist=True)


# the download


class Flaky:
    """Fails so often, then gives the answer."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = 0

    def __call__(self):
        self.calls += 1
        print("Downloading data: 100%")
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def test_a_failed_download_is_tried_again(capsys):
    load, said, waited = Flaky(Exception("reset"), ValueError("hash")), [], []
    assert retry(load, say=said.append, wait=waited.append) == "answer"
    assert load.calls == 3
    assert 0 < waited[0] < waited[1]
    assert "reset" in said[0]
    assert "hash" in said[1]
    assert capsys.readouterr().out == ""


def test_three_tries_are_all(capsys):
    load, waited = Flaky(*[ConnectionResetError() for _ in range(9)]), []
    with pytest.raises(DownloadError, match="ConnectionResetError"):
        retry(load, say=lambda _: None, wait=waited.append)
    assert load.calls == 3
    assert len(waited) == 2


def test_ctrl_c_is_not_tried_again():
    load = Flaky(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        retry(load, say=lambda _: None, wait=lambda _: None)
    assert load.calls == 1


@pytest.mark.parametrize("answer", [None, Exception("broken off")])
def test_a_connection_gone_silent_fails_and_only_during_the_download(answer):
    def load():
        during.append(socket.getdefaulttimeout())
        if answer:
            raise answer

    during = []
    socket.setdefaulttimeout(777)
    try:
        with contextlib.suppress(DownloadError):
            retry(load, say=lambda _: None, wait=lambda _: None)
        assert socket.getdefaulttimeout() == 777
    finally:
        socket.setdefaulttimeout(None)
    assert all(0 < seconds <= 120 for seconds in during)


def test_a_download_that_fails_for_good_names_the_way_without_internet(monkeypatch):
    give_keras(monkeypatch, Flaky(*[Exception("URL fetch failure") for _ in range(3)]))
    waited = []
    with pytest.raises(DataError, match=r"3 tries: URL fetch failure.*copy that file.*--data mnist\.npz"):
        datasets.load_keras_mnist(wait=waited.append)
    assert len(waited) == 2


def test_without_keras_nothing_is_tried_again(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras.datasets", None)
    with pytest.raises(DependencyError):
        datasets.load_keras_mnist(wait=lambda _: pytest.fail("waited"))


# the same with the real Keras, whose import takes seconds, and a server of our own


class Server(http.server.ThreadingHTTPServer):
    """Serves the answers in turn, the last one for ever."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = []
        self.served = 0

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/mnist.npz"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, length, body = self.server.answers[min(self.server.served, len(self.server.answers) - 1)]
        self.server.served += 1
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


GOOD = bytes_of(**arrays())
WHOLE = 200, len(GOOD), GOOD
HALF = 200, len(GOOD), GOOD[: len(GOOD) // 2]
CHANGED = 200, len(GOOD), GOOD[:-30] + bytes(30)
GONE = 404, 0, b""


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.02), daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def cache(server, tmp_path, monkeypatch):
    """Keras' own loading, downloading from our server into a cache of our own; the path of the cached file."""
    if not importlib.util.find_spec("keras"):
        pytest.skip("Keras is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's own, while it is imported
        mnist = pytest.importorskip("keras.datasets").mnist
    names = mnist.load_data.__globals__
    get_file, sha256 = names["get_file"], datasets.hashlib.sha256(GOOD).hexdigest()

    def from_here(fname, origin, file_hash):
        assert origin.startswith("https://")
        assert len(file_hash) == 64
        return get_file(fname, server.address, file_hash=sha256, cache_dir=str(tmp_path))

    monkeypatch.setitem(names, "get_file", from_here)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "datasets" / "mnist.npz"


def load_from(server, *answers):
    server.answers = list(answers)
    waited = []
    with contextlib.suppress(DataError):
        dataset = datasets.load_keras_mnist(wait=waited.append)
        assert isinstance(dataset, Dataset)
        return dataset.digest, server.served, len(waited)
    return None, server.served, len(waited)


@pytest.mark.slow
@pytest.mark.parametrize("bad", [HALF, CHANGED, GONE], ids=["half", "changed", "gone"])
def test_keras_succeeds_at_the_second_or_third_try(server, cache, mnist, bad):
    assert load_from(server, bad, WHOLE) == (mnist.digest, 2, 1)
    cache.unlink()
    server.served = 0
    assert load_from(server, bad, bad, WHOLE) == (mnist.digest, 3, 2)
    assert cache.read_bytes() == GOOD


@pytest.mark.slow
@pytest.mark.parametrize("bad", [HALF, CHANGED, GONE], ids=["half", "changed", "gone"])
def test_keras_fails_for_good_and_the_next_run_is_not_harmed(server, cache, mnist, bad):
    assert load_from(server, bad) == (None, 3, 2)
    server.served = 0
    assert load_from(server, WHOLE) == (mnist.digest, 1, 0)


@pytest.mark.slow
def test_keras_keeps_a_good_file_and_replaces_a_damaged_one(server, cache, mnist):
    cache.parent.mkdir()
    cache.write_bytes(GOOD)
    assert load_from(server, GONE) == (mnist.digest, 0, 0)
    cache.write_bytes(GOOD[:1000])
    (cache.parent / "other.npz").write_bytes(b"someone else's")
    assert load_from(server, WHOLE) == (mnist.digest, 1, 0)
    assert cache.read_bytes() == GOOD
    assert (cache.parent / "other.npz").read_bytes() == b"someone else's"


@pytest.mark.slow
def test_keras_says_that_nobody_answers(server, cache):
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match="refused"):
        datasets.load_keras_mnist(wait=lambda _: None)

# SPDX-License-Identifier: Apache-2.0
"""Downloads against a server on this machine: verified, whole, and never without a checksum."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mrfcore import datasets, io
from mrfcore.datasets import download

pytest.importorskip("pooch")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and folder of a web server that serves the folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}", folder
        httpd.shutdown()
        thread.join()


def scene_archive(path: Path, scene: str) -> str:
    """A zip of a small Middlebury 2014 scene; returns its SHA-256."""
    folder = path.parent / scene
    folder.mkdir()
    for name in ("im0.png", "im1.png"):
        Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(folder / name)
    io.write_pfm(folder / "disp0.pfm", np.full((8, 9), 3.0))
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{scene}/{file.name}")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_classic_scenes(
    data: Path, server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, folder = server
    folder.rmdir()
    folder.symlink_to(data / "middlebury")
    monkeypatch.setattr(download.fetch_scene, "__defaults__", (url,))
    root = tmp_path / "root"
    dataset = datasets.Middlebury2003Stereo(root, download=True)
    assert dataset.names == ["cones", "teddy"]
    teddy = root / "Middlebury2003" / "teddy"
    assert sorted(path.name for path in teddy.iterdir()) == sorted(
        path.name for path in (data / "middlebury" / "teddy").iterdir()
    )
    assert datasets.load_pair("teddy", root).num_disparities == 60
    # What is there and right is not fetched again.
    before = (teddy / "imL.ppm").stat().st_mtime_ns
    datasets.Middlebury2003Stereo(root, download=True)
    assert (teddy / "imL.ppm").stat().st_mtime_ns == before


def test_a_tampered_file_is_refused(server: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = server
    (folder / "teddy").mkdir()
    for path in download._SHA256:
        if path.startswith("teddy/"):
            (folder / path).write_bytes(b"something else")
    root = tmp_path / "root"
    with pytest.raises(ValueError, match=r"teddy/\S+ is not the file that was expected"):
        download.fetch_scene("teddy", root, url)
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_an_unreachable_server_is_named(tmp_path: Path, server: tuple[str, Path]) -> None:
    url, _ = server  # serves, but has no such file
    with pytest.raises(RuntimeError, match=r"could not download .*/teddy/.* put it at .*teddy"):
        download.fetch_scene("teddy", tmp_path / "root", url)
    with pytest.raises(ValueError, match="no checksums are known for 'aloe', expected one of con"):
        download.fetch_scene("aloe", tmp_path / "root", url)


def test_middlebury_2014_with_a_checksum(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, folder = server
    sha = scene_archive(folder / "Piano-perfect.zip", "Piano-perfect")
    monkeypatch.setattr(datasets.Middlebury2014Stereo, "_url", url)
    root = tmp_path / "root"
    checksums = {"Piano-perfect.zip": sha}
    dataset = datasets.Middlebury2014Stereo(root, download=True, checksums=checksums)
    assert dataset.names == ["Piano-perfect"]
    train = root / "Middlebury2014" / "train"
    assert [path.name for path in train.iterdir()] == ["Piano-perfect"]  # no scratch left
    wrong = {"Pipes-perfect.zip": sha, "Piano-perfect.zip": sha}
    (folder / "Pipes-perfect.zip").write_bytes(b"not it")
    with pytest.raises(ValueError, match="is not the file that was expected"):
        datasets.Middlebury2014Stereo(root, download=True, checksums=wrong)
    assert [path.name for path in train.iterdir()] == ["Piano-perfect"]


def test_a_verified_file_that_is_no_archive(server: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = server
    (folder / "a.zip").write_bytes(b"plain text")
    sha = hashlib.sha256(b"plain text").hexdigest()
    with pytest.raises(ValueError, match=r"a\.zip is not a zip file"):
        download.fetch_archive(f"{url}/a.zip", f"sha256:{sha}", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (datasets.Middlebury2014Stereo, r"Adirondack-perfect\.zip .*Middlebury2014/train, or pass"),
        (datasets.Kitti2015Stereo, r"cvlibs\.net.* unpack it to .*Kitti2015"),
        (datasets.ETH3DStereo, r"eth3d\.net.* unpack it to .*ETH3D"),
    ],
)
def test_nothing_is_fetched_unverified(tmp_path: Path, make: type, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(tmp_path, download=True)
    assert list(tmp_path.iterdir()) == []

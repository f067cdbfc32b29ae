# SPDX-License-Identifier: Apache-2.0
"""Files are written whole or not at all, and importing the file modules costs little."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mrfcore import io
from mrfcore._files import atomic_file, atomic_path


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")

    def write_half() -> None:
        with atomic_file(target) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        write_half()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_target_appears_only_when_complete(tmp_path: Path) -> None:
    target = tmp_path / "out.png"
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".png"
        temporary.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_writers_are_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    values = np.zeros((2, 2))
    monkeypatch.setattr(Path, "replace", fail)
    for name in ("a.png", "a.pfm", "a.npy"):
        with pytest.raises(OSError, match="disk full"):
            io.write_disparity(tmp_path / name, values)
    with pytest.raises(OSError, match="disk full"):
        io.write_flo(tmp_path / "a.flo", np.zeros((2, 2, 2)))
    with pytest.raises(OSError, match="disk full"):
        io.write_image(tmp_path / "b.png", values.astype(np.uint8))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), OSError(36, "Too long")]
)
def test_an_unwritable_path_is_named_as_it_was_given(
    error: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise type(error)(error.errno, error.strerror, str(path))

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(type(error)) as caught:
        io.write_image("out.png", np.zeros((2, 2), np.uint8))
    assert caught.value.filename == "out.png"
    assert caught.value.errno == error.errno
    assert caught.value.__suppress_context__


def test_written_files_have_ordinary_permissions(tmp_path: Path) -> None:
    plain, ours = tmp_path / "plain", tmp_path / "ours.npy"
    plain.touch()
    io.write_disparity(ours, [[1.0]])
    assert stat.S_IMODE(ours.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_link_is_followed_and_a_device_refused(tmp_path: Path) -> None:
    real, link = tmp_path / "real.npy", tmp_path / "link.npy"
    real.touch()
    link.symlink_to(real)
    io.write_disparity(link, [[1.0]])
    assert link.is_symlink()
    assert io.read_disparity(real)[0, 0] == 1
    (tmp_path / "pipe.npy").symlink_to(os.devnull)
    with pytest.raises(ValueError, match="not a regular file"):
        io.write_disparity(tmp_path / "pipe.npy", [[1.0]])
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(ValueError, match="not a regular file"):
        io.write_disparity(tmp_path / "folder.npy", [[1.0]])


def test_import_is_cheap() -> None:
    code = (
        "import sys, mrfcore.io, mrfcore.metrics, mrfcore.viz, mrfcore.datasets, mrfcore.scene; "
        "print([m for m in ('matplotlib', 'pooch', 'skimage', 'torch') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert result.stdout.strip() == "[]"

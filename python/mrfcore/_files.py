# SPDX-License-Identifier: Apache-2.0
"""Files that are written whole or not at all, and readable errors about paths."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PathLike = str | os.PathLike[str]


def existing_file(path: PathLike) -> Path:
    """Return `path` as a Path to an existing regular file, or raise naming it.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: something is there that is not a file, such as a directory.
    """
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"no such file: {file}")
    if not file.is_file():
        raise ValueError(f"{file} is not a regular file")
    return file


@contextlib.contextmanager
def atomic_path(path: PathLike) -> Iterator[Path]:
    """Give a temporary path beside `path` that takes its place when the block ends.

    If the block raises (Ctrl-C included) the temporary file is removed and whatever was at `path`
    before is still there, untouched. The temporary name keeps the suffix of `path`, for writers
    that choose a format by it. A symbolic link is followed, not replaced.

    Raises:
        FileNotFoundError: the folder of `path` does not exist.
        ValueError: `path` is a directory, a device or anything else that is not a regular file.
        OSError: the folder cannot be written into; names `path`.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: no such folder: {target.parent}")
    if target.exists() and not target.is_file():
        raise ValueError(f"cannot write {path}: it exists and is not a regular file")
    # The same folder, hence the same file system: replacing is atomic only there.
    temporary = target.with_name(f".{target.stem[:64]}.{secrets.token_hex(4)}{target.suffix}")
    try:
        yield temporary
        temporary.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(temporary):
            # The user asked for another name and has never heard of this one.
            raise type(error)(error.errno, error.strerror, os.fspath(path)) from None
        raise


@contextlib.contextmanager
def atomic_file(path: PathLike) -> Iterator[BinaryIO]:
    """Like `atomic_path`, but gives the temporary file already open for binary writing."""
    # "x" creates the file with the permissions the umask grants, as plain open() would.
    with atomic_path(path) as temporary, temporary.open("xb") as file:
        yield file

# SPDX-License-Identifier: Apache-2.0
"""Downloads by pooch, never without a checksum.

Checksums are known for the classic Middlebury pairs, from a public mirror pinned to one commit.
PASCAL VOC and ADE20K are verified by the checksums that torchvision and GluonCV publish. For every
other set the official archives are named, and fetched only against a checksum that the caller
supplies: a file nobody can verify is not downloaded behind the user's back.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["fetch_archive", "fetch_scene", "manual_instructions"]

_MIRROR = "https://github.com/zwxu064/MPLayers/raw/5dcfd90440fe/datasets/Middlebury"

# Middlebury stereo data, free for research with citation of Scharstein and Szeliski
# (IJCV 2002 for 2001's scenes, CVPR 2003 for 2003's).
_SHA256 = {
    "tsukuba/imL.ppm": "1d326401c70e4bce95f0415a612dd00fa2984db89754f28d490b816aa731361a",
    "tsukuba/imR.ppm": "c8048c2e0d834488adfae1c2525f4c004907b369dc90730ca11bf1f6dd8d925d",
    "tsukuba/gt.pgm": "3192e1b8a1ad50fa6ac743cbe93aea54066bc93d2ebee432a04e7cd759450296",
    "tsukuba/nonocc.png": "840784909a7333f14f2b6639f6a2a3d686b5e2079a2ee44ca8c1533feff2161a",
    "venus/imL.ppm": "fef870c1e2471fe5b3b2bac9ca71810e8503e1489e4203288a982b40355b9172",
    "venus/imR.ppm": "b2fca7b6f3aa7e1a34bc5eac2d99cbbc5dfc77ce531777b71153e2ed73290004",
    "venus/gt.pgm": "7d7b78ba89b1a8b8973cfebd61f2ef35b5adec70b2fb50817c2bd66e06a10170",
    "venus/nonocc.png": "631bfb8c5676d2ceaf02f4976310f78094a1d39e9690dc04c841cbeb4cd08b05",
    "teddy/imL.ppm": "9d1a9e5dc2d002f0fe7990c89ea3e39df432df347f17155c066a3257311c3277",
    "teddy/imR.ppm": "cbdd9b989d840c0af8d3b56941f97f8df898e4f16fdfb005d862fb32e61bad74",
    "teddy/gt.pgm": "b223e7e7f3338d82938088f8ccd6ecc5e5893706ccd4d926ec291d29d0e2e08b",
    "teddy/nonocc.png": "fd9054a962ba72b58d0e69687d324886132cc74c7fa39b47904de1734f6ea541",
    "cones/imL.ppm": "4f1ebbd301f6f600b2df30d2cf9c8f45e01c5db597c380b37b39c72cef384b5a",
    "cones/imR.ppm": "fbf5395ba7fe69cefb9dfb445031b0d3a0471bdf09b6f91dc787e1f432233667",
    "cones/disp2.pgm": "2c6a62015d681d7091d4245d72c9ba2376c570cede619ac7a60c5d02221bf88a",
    "cones/disp6.pgm": "7f9fbc72e256f6cb045b9a0123449a77efeb354428d0a48709a2bc343d54566d",
    "map/imL.pgm": "dd4206393963c51315ce09bbb0f033877e4a3ef35533974cdfdbfb9dd4dd1be3",
    "map/imR.pgm": "93a7f9e1f002e8a5d542af680b28680f2ab36dc91638e44c268fe230d9ddee5e",
    "map/disp0.pgm": "14c539f4dae2f1a8643cfd281ed2dac878ebc6184f456b9524c68f883b97702b",
    "map/disp1.pgm": "e0e62c4ea0a73c6fb018904f258ac1ae57ba2724fd33b192754606c3281eebf2",
}


def known_scenes() -> list[str]:
    """Scenes of the mirror whose checksums are known."""
    return sorted({path.split("/")[0] for path in _SHA256})


def _retrieve(url: str, checksum: str, target: Path) -> Path:
    """Download one file, verified, straight to its place; a verified file there is kept.

    Raises:
        ValueError: what came does not have the checksum; nothing is left behind.
        RuntimeError: the download failed.
    """
    import pooch  # heavy, and needed only here

    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        fetched = pooch.retrieve(
            url, known_hash=checksum, fname=target.name, path=target.parent, progressbar=False
        )
    except ValueError as error:
        raise ValueError(f"{url} is not the file that was expected: {error}") from None
    except Exception as error:  # requests, urllib3, ssl and OSError: all mean "could not fetch"
        raise RuntimeError(
            f"could not download {url} ({error}); fetch it by other means and put it at {target}"
        ) from error
    return Path(fetched)


def fetch_scene(scene: str, folder: Path, mirror: str = _MIRROR) -> None:
    """Download the files of one classic Middlebury scene into `folder / scene`.

    Raises:
        ValueError: no checksums are known for the scene, or a download does not match them.
        RuntimeError: a download failed.
    """
    files = {path: sha for path, sha in _SHA256.items() if path.startswith(f"{scene}/")}
    if not files:
        raise ValueError(
            f"no checksums are known for {scene!r}, expected one of {', '.join(known_scenes())}"
        )
    for path, sha in files.items():
        _retrieve(f"{mirror}/{path}", f"sha256:{sha}", folder / path)


def fetch_archive(url: str, checksum: str, folder: Path, inner: str | None = None) -> None:
    """Download a zip or tar file, verify it and unpack it into `folder`, whole or not at all.

    Args:
        url: of the archive; its top-level folders become folders of `folder`.
        checksum: "sha256:..." or another algorithm pooch knows.
        folder: made if need be; top-level entries of the archive that it has already are replaced.
        inner: the only folder of the archive to keep, at the same place in `folder`: what else
            lies beside it there stays.

    Raises:
        ValueError: the checksum does not match, it is no such archive, or it holds no `inner`.
        RuntimeError: the download failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as scratch:
        archive = _retrieve(url, checksum, Path(scratch) / "archive")
        unpacked = Path(scratch) / "unpacked"
        _unpack(archive, unpacked, url)
        entries = list(unpacked.iterdir()) if inner is None else [unpacked / inner]
        for entry in entries:
            if not entry.exists():
                raise ValueError(f"{url} holds no {inner}")
            target = folder / entry.relative_to(unpacked)
            if target.is_dir():
                shutil.rmtree(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            entry.replace(target)


def _unpack(archive: Path, folder: Path, url: str) -> None:
    """Unpack a zip or tar file, as its contents tell."""
    try:
        if tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                # Refuses paths that lead out of the folder; early 3.10 and 3.11 have no filters.
                safe: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
                tar.extractall(folder, **safe)
        else:
            with zipfile.ZipFile(archive) as content:
                content.extractall(folder)
    except (zipfile.BadZipFile, tarfile.TarError) as error:
        raise ValueError(f"{url} is not a zip file or a tar file: {error}") from None


def checksum_of(checksums: Mapping[str, str] | None, archive: str) -> str | None:
    """The caller's checksum of an archive; a bare hexadecimal one is taken for SHA-256."""
    checksum = (checksums or {}).get(archive)
    return f"sha256:{checksum}" if checksum and ":" not in checksum else checksum


def manual_instructions(what: str, url: str, folder: Path, note: str = "") -> ValueError:
    """The error that tells how to get by hand what cannot be verified."""
    return ValueError(
        f"download=True cannot fetch {what}: no checksum is known to verify it by. "
        f"Download it from {url} and unpack it to {folder}{note}"
    )

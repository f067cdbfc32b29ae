# SPDX-License-Identifier: Apache-2.0
"""SLIC against scikit-image and fast-slic: time and quality.

    python bench/slic.py [--quick]

In turn in one process, on one thread and on all (scikit-image knows one only). fast-slic runs its
AVX2 kernels, as it comes (every third row in an iteration) and on all rows. Images and true
segments are BSDS500's below $MRFCORE_DATA, where it is (scores need SciPy), else one of
scikit-image's. A sample is the time of all images.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything starts threads of its own

import numpy as np

from _machine import data_folder
from _measure import clock_of, fields, interleave, timed
from _part import Case, Found, Part, Run
from _rows import Row

NUM, COMPACTNESS = 225, 10.0
PEERS = {
    "skimage": "scikit-image",
    "fast_slic": "fast-slic, a third of the rows",
    "fast_slic_all_rows": "fast-slic, all rows",
}


def cases(run: Run) -> Iterator[Case]:
    yield {"images": 2 if run.quick else 10}


def pictures(count: int) -> list[tuple[Any, list[Any]]]:
    """Images and their true segments."""
    from skimage import data, io

    folder = data_folder() / "bsds500"
    paths = sorted((folder / "images").glob("*.jpg"))[:count]
    if not paths:
        return [(data.astronaut(), [])]
    return [
        (np.ascontiguousarray(io.imread(p)), drawn(folder / f"groundTruth/{p.stem}.mat"))
        for p in paths
    ]


def drawn(path: Any) -> list[Any]:
    """What people drew."""
    if importlib.util.find_spec("scipy") is None or not path.is_file():
        return []
    from scipy.io import loadmat

    return [t["Segmentation"][0, 0].astype(int) for t in loadmat(path)["groundTruth"][0]]


def forms(threads: int) -> dict[str, Callable[[Any], Any]]:
    """Functions of an image, asked for as many as makes them give equally many."""
    from skimage.segmentation import slic as theirs

    from mrfcore.superpixels import slic

    found: dict[str, Callable[[Any], Any]] = {
        "ours": lambda i: slic(i, round(0.92 * NUM), compactness=COMPACTNESS, threads=threads),
        "skimage": lambda i: theirs(i, round(1.18 * NUM), COMPACTNESS, start_label=0),
    }
    if importlib.util.find_spec("fast_slic") is not None:
        setattr(np, "int", int)  # noqa: B010  # gone from NumPy, not from fast-slic
        from fast_slic.avx2 import SlicAvx2

        def fast(image: Any, stride: int) -> Any:
            options = {"subsample_stride": stride, "num_threads": threads}
            return SlicAvx2(NUM, compactness=COMPACTNESS, **options).iterate(image)

        found["fast_slic"] = lambda i: fast(i, 3)
        found["fast_slic_all_rows"] = lambda i: fast(i, 1)
    return found


def measure(case: Case, run: Run) -> Found:
    """A row a peer, with scores as remarks."""
    images = pictures(case["images"])

    def over_images(form: Callable[[Any], Any]) -> Callable[[], None]:
        def call() -> None:
            for image, _ in images:
                form(image)

        return call

    taken = {}
    for threads in run.thread_counts:
        clock = clock_of(threads)
        sides = {name: timed(over_images(f), clock) for name, f in forms(threads).items()}
        taken[threads] = interleave(sides, run.rounds(7))
    judged = {name: scores(images, form) for name, form in forms(1).items()}
    height, width = images[0][0].shape[:2]
    rows = []
    for peer, name in PEERS.items():
        size = f"{len(images)} of {height}x{width}"
        if peer not in judged:
            rows.append(Row("SLIC", size, peer=name, problem="left out: no module fast_slic"))
            continue
        note = ", ".join(f"{k} {judged['ours'][k]:.3f} : {v:.3f}" for k, v in judged[peer].items())
        row = Row("SLIC", size, **fields(taken, peer), peer=name, note=note, headline=True)
        rows.append(row if peer == "fast_slic_all_rows" else row.promised(ratio=1))
    return {"num": NUM, "compactness": COMPACTNESS, "seconds": taken, "scores": judged}, rows


def scores(images: list[tuple[Any, list[Any]]], form: Callable[[Any], Any]) -> dict[str, float]:
    """Means over images and people: boundary recall, under-segmentation, achievable accuracy."""
    from mrfcore import superpixels as sp

    judges = (sp.boundary_recall, sp.undersegmentation_error, sp.achievable_accuracy)
    found = []
    for image, truths in images:
        ids = np.asarray(form(image)).astype(np.int64)
        found += [(*(judge(ids, t) for judge in judges), sp.compactness(ids)) for t in truths]
    names = ("recall", "leak", "accuracy", "compactness")
    return dict(zip(names, map(float, np.mean(found, 0)), strict=True)) if found else {}


PART = Part("slic", cases, measure, needs=("skimage",))

if __name__ == "__main__":
    sys.exit(PART.main(__doc__, __file__))

# SPDX-License-Identifier: Apache-2.0
"""Joint transforms: what happens to the image happens to its labels."""

from __future__ import annotations

import multiprocessing
import pickle
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mrfcore.datasets import segmentation_transforms as transforms
from mrfcore.datasets.segmentation_files import label_image

FILL = (124, 116, 104)


def coded(height: int, width: int) -> tuple[Image.Image, Image.Image]:
    """An image whose red and green are the column and the row, and labels made from them."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x, y, np.full_like(x, 7)], axis=2).astype(np.uint8)
    return Image.fromarray(pixels), label_image(label_of(x, y))


def label_of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return ((3 * x + 5 * y) % 21).astype(np.uint8)


def check_aligned(image: Image.Image, labels: Image.Image, void: int = 255) -> np.ndarray:
    """Every pixel has the label of its code, or is padding in both; returns what is padding."""
    assert image.size == labels.size
    pixels, numbers = np.asarray(image), np.asarray(labels)
    padding = pixels[..., 2] == FILL[2]
    np.testing.assert_array_equal(pixels[padding], np.broadcast_to(FILL, (padding.sum(), 3)))
    np.testing.assert_array_equal(numbers[padding], void)
    expected = label_of(pixels[..., 0].astype(int), pixels[..., 1].astype(int))
    np.testing.assert_array_equal(numbers[~padding], expected[~padding])
    return padding


# --- alignment --------------------------------------------------------------------------------


def test_crops_are_windows_of_both() -> None:
    crop = transforms.RandomCrop((9, 12), generator=3)
    corners = set()
    for _ in range(200):
        image, labels = crop(*coded(14, 15))
        assert image.size == (12, 9)
        assert not check_aligned(image, labels).any()
        pixels = np.asarray(image)
        y, x = np.mgrid[:9, :12]
        left, top = int(pixels[0, 0, 0]), int(pixels[0, 0, 1])
        np.testing.assert_array_equal(pixels[..., 0], x + left)
        np.testing.assert_array_equal(pixels[..., 1], y + top)
        corners.add((top, left))
    assert corners == {(top, left) for top in range(6) for left in range(4)}  # all, no others


@pytest.mark.parametrize("size", [(20, 12), (9, 30), (20, 30)])
def test_crops_pad_small_images_right_and_below(size: tuple[int, int]) -> None:
    image, labels = transforms.RandomCrop(size, generator=0)(*coded(14, 15))
    padding = check_aligned(image, labels)
    height, width = size
    expected = np.zeros(size, bool)
    expected[14:] = True
    expected[:, 15:] = True
    np.testing.assert_array_equal(padding, expected)
    assert (image.height, image.width) == (height, width)


def test_crop_keeps_the_colours_of_labels() -> None:
    _, labels = transforms.RandomCrop(20, generator=0)(*coded(14, 15))
    assert labels.mode == "P"
    assert labels.getpalette() == coded(1, 1)[1].getpalette()


def test_centre_crop() -> None:
    image, labels = transforms.CenterCrop((8, 5))(*coded(14, 15))
    assert not check_aligned(image, labels).any()
    assert tuple(np.asarray(image)[0, 0, :2]) == (5, 3)
    image, labels = transforms.CenterCrop((16, 19))(*coded(14, 15))
    padding = check_aligned(image, labels)
    assert not padding[1:15, 2:17].any()
    assert padding.sum() == 16 * 19 - 14 * 15


@pytest.mark.parametrize(("multiple", "size"), [(16, (16, 48)), (1, (16, 33)), (10, (20, 40))])
def test_pad_to_multiple(multiple: int, size: tuple[int, int]) -> None:
    image, labels = transforms.PadToMultiple(multiple)(*coded(16, 33))
    assert (image.height, image.width) == size
    padding = check_aligned(image, labels)
    assert not padding[:16, :33].any()
    assert padding.sum() == size[0] * size[1] - 16 * 33


def test_flip() -> None:
    flip = transforms.RandomHorizontalFlip(generator=5)
    flipped = 0
    for _ in range(200):
        image, labels = flip(*coded(4, 6))
        assert not check_aligned(image, labels).any()
        first = np.asarray(image)[0, :, 0].tolist()
        assert first in ([0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0])
        flipped += first[0] == 5
    assert 70 < flipped < 130
    for p, first in ((0, 0), (1, 5)):
        always = transforms.RandomHorizontalFlip(p)
        assert all(np.asarray(always(*coded(4, 6))[0])[0, 0, 0] == first for _ in range(20))


@pytest.mark.parametrize("factor", [0.5, 0.73, 1.0, 1.37, 2.0])
def test_scale_keeps_both_in_place(factor: float) -> None:
    # Blocks of 8 x 8 pixels: where the resized image has a block's pure colour, the label must be
    # that block's. Half a pixel of misalignment would show at each border.
    blocks = np.random.default_rng(1).permutation(16 * 12).reshape(12, 16)
    labels = np.kron(blocks, np.ones((8, 8), int)).astype(np.uint8)
    image = np.stack([labels, 255 - labels, labels // 2], axis=2)
    scale = transforms.RandomScale(factor, factor)
    resized, mask = scale(Image.fromarray(image), label_image(labels))
    assert resized.size == mask.size == (round(128 * factor), round(96 * factor))
    pixels, numbers = np.asarray(resized).astype(int), np.asarray(mask)
    own = np.stack([numbers, 255 - numbers.astype(int), numbers // 2], axis=2)
    off = np.abs(pixels - own).max(axis=2)
    # Centres of blocks have their own colour; elsewhere their own share is the largest.
    assert (off <= 1).mean() > 0.35
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    block_y, block_x = (y + 0.5) / factor / 8, (x + 0.5) / factor / 8
    inner = (np.abs(block_y % 1 - 0.5) < 0.25) & (np.abs(block_x % 1 - 0.5) < 0.25)
    expected = blocks[block_y.astype(int), block_x.astype(int)]
    np.testing.assert_array_equal(numbers[inner], expected[inner])
    assert off[inner].max() <= 1
    border = (np.abs(block_y % 1 - 0.5) > 0.5 - 0.51 / factor / 8) & (block_y > 1) & (block_y < 11)
    wrong = numbers[~border] != expected[~border]
    assert wrong.mean() < 0.15  # only what lies on the sides left and right


def test_scale_factors_are_even() -> None:
    scale = transforms.RandomScale(0.5, 2.0, generator=11)
    widths = np.array([scale(*coded(100, 200))[0].width for _ in range(300)]) / 200
    assert widths.min() < 0.53
    assert widths.max() > 1.97
    assert widths.min() >= 0.5
    assert widths.max() <= 2.0
    assert abs(widths.mean() - 1.25) < 0.08
    assert abs(np.quantile(widths, 0.25) - 0.875) < 0.1
    assert transforms.RandomScale(0.01, 0.01)(*coded(20, 30))[0].size == (1, 1)


def test_labels_are_never_blended() -> None:
    labels = np.zeros((40, 40), np.uint8)
    labels[:, 20:] = 20
    image = Image.new("RGB", (40, 40))
    for factor in (0.5, 0.77, 1.9):
        _, mask = transforms.RandomScale(factor, factor)(image, label_image(labels))
        assert set(np.unique(np.asarray(mask))) == {0, 20}
        _, grey = transforms.RandomScale(factor, factor)(image, Image.fromarray(labels))  # mode L
        assert set(np.unique(np.asarray(grey))) == {0, 20}


def test_region_maps() -> None:
    # As BSDS500's: 32-bit numbers beyond 255, of which 255 itself is a region; void is -1.
    regions = (np.arange(14 * 15).reshape(14, 15) + 200).astype(np.int32)
    crop = transforms.RandomCrop((14, 20), void=-1)
    _, labels = crop(coded(14, 15)[0], Image.fromarray(regions))
    np.testing.assert_array_equal(np.asarray(labels)[:, :15], regions)
    np.testing.assert_array_equal(np.asarray(labels)[:, 15:], -1)
    _, numbers = transforms.ToArrays()(coded(14, 15)[0], regions.astype(np.int64))
    np.testing.assert_array_equal(numbers, regions)
    _, half = transforms.RandomScale(0.5, 0.5)(coded(14, 15)[0], regions)
    assert set(np.unique(np.asarray(half))) <= set(regions.ravel().tolist())
    with pytest.raises(ValueError, match=r"void: expected 0 to 255 for labels of 8 bits .* got -1"):
        crop(*coded(14, 15))


# --- arrays -----------------------------------------------------------------------------------


def test_to_arrays() -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (5, 7, 3), np.uint8)
    labels = random.integers(0, 256, (5, 7), np.uint8)
    pixels, numbers = transforms.ToArrays()(Image.fromarray(image), label_image(labels))
    assert (pixels.dtype, pixels.shape, pixels.flags.c_contiguous) == (np.float32, (3, 5, 7), True)
    assert (numbers.dtype, numbers.shape) == (np.int64, (5, 7))
    np.testing.assert_array_equal(numbers, labels)
    for channel, (mean, std) in enumerate(((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))):
        expected = (image[..., channel].astype(float) / 255 - mean) / std
        np.testing.assert_allclose(pixels[channel], expected, rtol=1e-5, atol=1e-6)
    plain, _ = transforms.ToArrays((0, 0, 0), (1, 1, 1))(image, labels)  # arrays are taken, too
    np.testing.assert_allclose(plain, image.transpose(2, 0, 1) / 255.0, rtol=1e-6)
    numbers[0, 0] = 1  # its own memory, and writable: torch would warn otherwise
    pixels[0, 0, 0] = 1


def test_padding_is_nearly_nothing_to_a_network() -> None:
    steps = transforms.Compose([transforms.PadToMultiple(16), transforms.ToArrays()])
    pixels, numbers = steps(*coded(14, 15))
    assert np.abs(pixels[:, numbers == 255]).max() < 0.01


# --- randomness -------------------------------------------------------------------------------


def test_classes_are_not_transforms() -> None:
    with pytest.raises(TypeError, match=r"transforms\[0\]: expected a transform such as ToArrays"):
        transforms.Compose([transforms.ToArrays])  # type: ignore[list-item]


def training(generator: Any) -> transforms.Compose:
    return transforms.Compose(
        [
            transforms.RandomScale(0.5, 2.0, generator),
            transforms.RandomHorizontalFlip(generator=generator),
            transforms.RandomCrop(16, generator=generator),
            transforms.ToArrays(),
        ]
    )


def stack(steps: Any, count: int = 6) -> np.ndarray:
    return np.stack([steps(*coded(24, 30))[0] for _ in range(count)])


def test_a_seed_settles_everything() -> None:
    first = stack(training(np.random.default_rng(8)))
    np.testing.assert_array_equal(first, stack(training(np.random.default_rng(8))))
    assert (first != stack(training(np.random.default_rng(9)))).any()
    assert (stack(training(4)) == stack(training(4))).all()
    assert (stack(training(None)) != stack(training(None))).any()
    assert (first[0] != first[1]).any()


def test_numbers_drawn_do_not_depend_on_sizes() -> None:
    # After an image that leaves no choice, the next one is cropped as it would have been.
    crops = [transforms.RandomCrop(8, generator=2) for _ in range(2)]
    crops[0](*coded(8, 8))
    crops[1](*coded(50, 50))
    after = [np.asarray(crop(*coded(30, 30))[0]) for crop in crops]
    np.testing.assert_array_equal(*after)


def _first_numbers(pipe: Any, steps: Any) -> None:
    pipe.send(stack(steps, 3))
    pipe.close()


def _in_processes(steps: Any, count: int) -> list[np.ndarray]:
    context = multiprocessing.get_context("fork")
    results = []
    for number in range(count):
        here, there = context.Pipe()
        process = context.Process(
            target=_first_numbers, args=(there, steps), name=f"worker {number}"
        )
        process.start()
        results.append(here.recv())
        process.join()
    return results


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="processes cannot fork here"
)
def test_workers_differ_and_repeat() -> None:
    first = _in_processes(training(7), 2)
    assert (first[0] != first[1]).any()
    again = _in_processes(training(7), 2)
    np.testing.assert_array_equal(first, again)
    assert (first[0] != _in_processes(training(6), 1)[0]).any()
    steps = training(7)
    _in_processes(steps, 1)
    np.testing.assert_array_equal(stack(steps), stack(training(7)))  # the parent goes on as before


def test_transforms_can_be_sent_to_workers() -> None:
    steps = training(3)
    np.testing.assert_array_equal(stack(pickle.loads(pickle.dumps(steps))), stack(steps))


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: transforms.RandomScale(0), "low: expected a finite number > 0, got 0"),
        (lambda: transforms.RandomScale(2, 1), "high: expected a finite number >= low = 2, got 1"),
        (lambda: transforms.RandomScale(1, float("inf")), "high: expected a finite number"),
        (lambda: transforms.RandomScale(float("nan")), "low: expected"),
        (lambda: transforms.RandomHorizontalFlip(1.5), "p: expected a number from 0 to 1"),
        (lambda: transforms.RandomCrop(0), "size: expected numbers >= 1, got 0"),
        (lambda: transforms.RandomCrop((3, 4, 5)), r"size: expected a number or \(height, width"),
        (lambda: transforms.RandomCrop(4, fill=(0, 0)), r"fill: expected three numbers .*\(0, 0\)"),
        (lambda: transforms.CenterCrop(4, fill=(0, 0, 256)), "fill: expected three numbers"),
        (lambda: transforms.PadToMultiple(0), "multiple: expected a number >= 1, got 0"),
        (lambda: transforms.ToArrays(mean=(0, 1)), "mean: expected three finite numbers"),
        (lambda: transforms.ToArrays(std=(1, 0, 1)), "std: expected numbers > 0"),
    ],
)
def test_bad_numbers(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: transforms.RandomCrop(4.0), "size: expected an integer, got float"),
        (lambda: transforms.RandomCrop(4, void=None), "void: expected an integer"),
        (lambda: transforms.RandomCrop(4, generator="x"), "generator: expected a numpy.random.Gen"),
        (lambda: transforms.RandomScale(generator=-1), "generator: .* a seed >= 0 or None, got -1"),
        (lambda: transforms.RandomScale("1"), "low: expected a finite number > 0, got str"),
    ],
)
def test_bad_types(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize(
    "transform",
    [
        transforms.RandomScale(),
        transforms.RandomHorizontalFlip(),
        transforms.RandomCrop(8),
        transforms.CenterCrop(8),
        transforms.PadToMultiple(),
        transforms.ToArrays(),
    ],
)
def test_bad_pairs(transform: Any) -> None:
    image, labels = coded(6, 8)
    with pytest.raises(ValueError, match="labels: expected 8 x 6 pixels as of image, got 6 x 8"):
        transform(image, coded(8, 6)[1])
    with pytest.raises(ValueError, match="labels: expected a PIL image of mode P, L or I, got 'RG"):
        transform(image, image)
    with pytest.raises(TypeError, match="labels: expected one map, got a list of 2; BSDS500 gives"):
        transform(image, [labels, labels])
    with pytest.raises(ValueError, match=r"labels: .* integers \[H, W\], got float64 of shape"):
        transform(image, np.zeros((6, 8)))
    with pytest.raises(ValueError, match=r"image: .* uint8 \[H, W, 3\], got float64 of shape \[6"):
        transform(np.zeros((6, 8, 3)), labels)

"""`gc.data` transforms: values, both layouts, one image as a set of them, and against Pillow's resampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from messages import text_of
from PIL import Image

import graphc as gc
from graphc.data import ArrayDataset, Compose, DataLoader, ImageDataset, Normalize, Pad, Resize, ToTensor
from graphc.data.resize import weights

GREY, RGB = (11, 7), (11, 7, 3)


def picture(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(0, 256, shape, np.uint8)


def test_to_tensor(rng: np.random.Generator) -> None:
    for shape in (GREY, RGB):
        image = picture(rng, shape)
        found = ToTensor()(image)
        want = image[None] if len(shape) == 2 else image.transpose(2, 0, 1)
        assert (found.dtype, found.flags.c_contiguous) == (np.dtype("float32"), True)
        np.testing.assert_array_equal(found, want.astype("float32") / np.float32(255))
    assert ToTensor()(np.full((1, 1), 255, np.uint8)) == 1


def test_normalize(rng: np.random.Generator) -> None:
    image = rng.uniform(size=(3, 4, 5))
    mean, std = [0.1, 0.2, 0.3], [1.0, 2.0, -4.0]
    for dtype in ("float32", "float64"):
        x = image.astype(dtype)
        found = Normalize(mean, std)(x)
        assert found.dtype == dtype
        want = (image - np.array(mean)[:, None, None]) / np.array(std)[:, None, None]
        np.testing.assert_allclose(found, want, rtol=1e-5 if dtype == "float32" else 1e-15, atol=1e-7)
        np.testing.assert_array_equal(x, image.astype(dtype))
    np.testing.assert_array_equal(Normalize((0.5,), (0.25,))(image), (image - 0.5) / 0.25)


@pytest.mark.parametrize("padding,sides", [(2, (2, 2, 2, 2)), ((1, 2), (1, 2, 1, 2)), ((1, 2, 3, 0), (1, 2, 3, 0))])
@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
def test_pad(rng: np.random.Generator, padding: Any, sides: tuple[int, ...], mode: Any) -> None:
    left, top, right, bottom = sides
    for shape in (GREY, RGB):
        image = picture(rng, shape)
        found = Pad(padding, padding_mode=mode)(image)
        assert found.shape == (11 + top + bottom, 7 + left + right, *shape[2:])
        np.testing.assert_array_equal(found[top : top + 11, left : left + 7], image)
        np.testing.assert_array_equal(ToTensor()(found), Pad(padding, padding_mode=mode)(ToTensor()(image)))
    found = Pad(padding, fill=9)(picture(rng, GREY))
    assert (found[:top] == 9).all()
    np.testing.assert_array_equal(Pad(1, padding_mode="reflect")(np.array([[1, 2], [3, 4]], np.uint8))[0], [4, 3, 4, 3])


SIZES = ((11, 7), (22, 14), (5, 3), (16, 4), (1, 1), (7, 30))


@pytest.mark.parametrize("size", SIZES)
def test_resize_as_pillow(rng: np.random.Generator, size: tuple[int, int]) -> None:
    image = rng.uniform(size=GREY).astype("float32")
    want = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
    np.testing.assert_allclose(Resize(size)(image[None])[0], want, atol=1e-6)
    for shape in (GREY, RGB):  # Pillow rounds after each axis
        image8 = picture(rng, shape)
        want = np.asarray(Image.fromarray(image8).resize(size[::-1], Image.Resampling.BILINEAR))
        found = Resize(size)(image8)
        assert (found.dtype, found.shape) == (np.uint8, want.shape)
        assert np.abs(found.astype(int) - want).max() <= 1


def test_resize_without_antialias() -> None:
    """Linear interpolation at ``(i + 1/2) old / new - 1/2``, clamped to the border."""
    rng = np.random.default_rng(1)
    line = rng.uniform(size=9)
    for new in (1, 4, 9, 20):
        at = np.clip((np.arange(new) + 0.5) * 9 / new - 0.5, 0, 8)
        np.testing.assert_allclose(weights(9, new, False) @ line, np.interp(at, np.arange(9), line), atol=1e-14)
        found = Resize((1, new), antialias=False)(line[None, None])
        np.testing.assert_allclose(found[0, 0], np.interp(at, np.arange(9), line), atol=1e-14)


def test_resize_sizes_and_limits(rng: np.random.Generator) -> None:
    image = picture(rng, GREY)
    assert Resize(14)(image).shape == (22, 14)
    assert Resize(3)(image).shape == (4, 3)
    assert Resize(14)(image.T).shape == (14, 22)
    assert Resize([5])(image).shape == (7, 5)
    np.testing.assert_array_equal(Resize(GREY)(image), image)
    np.testing.assert_array_equal(Resize((40, 3))(np.full((9, 8), 255, np.uint8)), np.full((40, 3), 255))
    for old in (1, 2, 7, 28):
        for new in (1, 3, 28, 32):
            np.testing.assert_allclose(weights(old, new, True).sum(1), 1, rtol=1e-14)


@pytest.mark.parametrize("transform", [
    ToTensor(), Pad((1, 2), padding_mode="edge"), Resize((5, 9)), Resize(20, antialias=False),
    Compose([Pad(2), Resize(16), ToTensor(), Normalize(0.1307, 0.3081)]),
    Compose([ToTensor(), Resize((32, 20)), Pad(1, 0.5), Normalize(0.1, 0.2), lambda image: image[::-1] * 2]),
], ids=repr)  # fmt: skip
@pytest.mark.parametrize("shape", [GREY, RGB])
def test_a_set_at_once_is_each_image(rng: np.random.Generator, transform: Any, shape: tuple[int, ...]) -> None:
    """To the bit: so a batch does not depend on how it was made."""
    images = picture(rng, (6, *shape))
    found = transform.batch(images)
    each = [transform(image) for image in images]
    assert found.dtype == each[0].dtype
    np.testing.assert_array_equal(found, each)
    data = ImageDataset(images, np.arange(6), transform)
    for k, (x, t) in enumerate(DataLoader(data, 4)):
        np.testing.assert_array_equal(x, each[4 * k : 4 * k + 4])
        np.testing.assert_array_equal(t, np.arange(6)[4 * k : 4 * k + 4])
    np.testing.assert_array_equal(data.arrays()[0], found)
    np.testing.assert_array_equal(data[-1][0], each[-1])
    assert data[-1][1] == 5


def test_arrays_in_blocks(rng: np.random.Generator) -> None:
    images = picture(rng, (2500, 4, 3))
    data = ImageDataset(images, np.zeros(2500, np.int64), Compose([ToTensor(), Normalize(0.5, 0.5)]))
    np.testing.assert_array_equal(data.arrays()[0], data.transform.batch(images))  # type: ignore[union-attr]
    plain = ImageDataset(images, np.zeros(2500, np.int64))
    assert plain.arrays()[0] is images
    assert repr(plain) == "ImageDataset(2500 images uint8[4, 3])"
    assert len(ArrayDataset(*data.arrays())) == 2500


def test_reprs() -> None:
    transforms = [Pad(2), Resize((3, 4)), ToTensor(), Normalize(0.5, [1, 2])]
    assert repr(Compose(transforms)) == (
        "Compose(\n    Pad(padding=2, fill=0, padding_mode=constant)\n    Resize(size=(3, 4), antialias=True)\n"
        "    ToTensor()\n    Normalize(mean=0.5, std=[1.0, 2.0])\n)"
    )


IMAGE, PLANES = np.zeros((4, 5), np.uint8), np.zeros((3, 4, 5), np.float32)


@pytest.mark.parametrize("call,error,text", [
    (lambda: ToTensor()(np.zeros((4, 5))), gc.DTypeError,
     "ToTensor: not an image as files hold it: got float64[4, 5], expected uint8 [H, W] or [H, W, C]"),
    (lambda: ToTensor()(np.zeros(5, np.uint8)), gc.ShapeError,
     "ToTensor: not an image: got uint8[5], expected [H, W] or [H, W, C]"),
    (lambda: Pad(1)(np.zeros((1, 2, 3, 4), np.uint8)), gc.ShapeError,
     "Pad: not an image: got uint8[1, 2, 3, 4], expected [H, W] or [H, W, C]"),
    (lambda: Resize(1)(np.zeros((4, 5))), gc.DTypeError,
     "Resize: not an image as networks take it: got float64[4, 5], expected float32 or float64 [C, H, W]"),
    (lambda: Resize(1)(np.zeros((0, 5), np.uint8)), gc.ShapeError,
     "Resize: an image without pixels: got uint8[0, 5], expected sizes >= 1"),
    (lambda: Resize(0), gc.InputError, "Resize: bad size: got 0, expected an int >= 1, or two: (height, width)"),
    (lambda: Resize((1, 2, 3)), gc.InputError,
     "Resize: bad size: got (1, 2, 3), expected an int >= 1, or two: (height, width)"),
    (lambda: Resize(2.5), gc.InputError, "Resize: bad size: got 2.5, expected an int >= 1, or two: (height, width)"),
    (lambda: Normalize(0.0, 0.0), gc.InputError,
     "Normalize: bad mean or std: got mean=0.0, std=0.0, expected a number or one for each channel, std not 0"),
    (lambda: Normalize([0, 0], 1)(PLANES), gc.ShapeError,
     "Normalize: another number of channels: got float32[3, 4, 5], expected 2 channels"),
    (lambda: Pad(-1), gc.InputError,
     "Pad: bad padding: got padding=-1, padding_mode='constant', "
     "expected 1, 2 or 4 ints >= 0, and a mode of constant, edge, reflect, symmetric"),
    (lambda: Pad((1, 2, 3)), gc.InputError,
     "Pad: bad padding: got padding=(1, 2, 3), padding_mode='constant', "
     "expected 1, 2 or 4 ints >= 0, and a mode of constant, edge, reflect, symmetric"),
    (lambda: Pad(1, padding_mode="zeros"), gc.InputError,
     "Pad: bad padding: got padding=1, padding_mode='zeros', "
     "expected 1, 2 or 4 ints >= 0, and a mode of constant, edge, reflect, symmetric"),
])  # fmt: skip
def test_errors(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert (type(caught.value), text_of(caught.value)) == (error, text + "\n  at LINE")


def test_a_uint8_image_where_a_tensor_is_due() -> None:
    with pytest.raises(gc.DTypeError) as caught:
        Normalize(0, 1)(IMAGE)
    assert text_of(caught.value) == (
        "Normalize: not an image as networks take it: got uint8[4, 5], expected float32 or float64 [C, H, W]\n"
        "  at LINE\n  hint: ToTensor() makes one of a uint8 image"
    )

"""Transforms of images, in torchvision's names, for one image or a whole set of them at once.

Two layouts, told apart by the dtype. An image as files hold it is uint8, ``[H, W]`` or ``[H, W, C]``; one as networks
take it is floating point, ``[C, H, W]``, and `ToTensor` leads from the former to the latter. ``transform(image)`` takes
one image; ``transform.batch(images)`` takes images with one more axis in front, and gives the same bits, faster.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np

from ..errors import DTypeError, InputError, ShapeError, message, user_line
from .collate import stack
from .resize import resize

PaddingMode = Literal["constant", "edge", "reflect", "symmetric"]


class Transform(abc.ABC):
    """A transform is written once, for a set of images; one image is a set of one."""

    @abc.abstractmethod
    def batch(self, images: np.ndarray) -> np.ndarray:
        """The images, each transformed; the first axis counts them."""

    def __call__(self, image: Any) -> np.ndarray:
        return self.batch(np.asarray(image)[None])[0]


class Compose:
    """Transforms one after the other. Functions of one image may be among them; a set goes through those one by one.

    >>> Compose([ToTensor(), Normalize(0.5, 0.5)])(np.full((2, 2), 255, np.uint8))
    array([[[1., 1.],
            [1., 1.]]], dtype=float32)
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]):
        self.transforms = list(transforms)

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image

    def batch(self, images: np.ndarray) -> np.ndarray:
        for transform in self.transforms:
            images = apply_all(transform, images)
        return images

    def __repr__(self) -> str:
        return "Compose(\n" + "".join(f"    {transform!r}\n" for transform in self.transforms) + ")"


def apply_all(transform: Callable[[Any], Any], images: np.ndarray) -> np.ndarray:
    """A transform, or any function of one image, applied to each of `images`."""
    if isinstance(transform, (Transform, Compose)):
        return transform.batch(images)
    return stack([transform(image) for image in images])


class ToTensor(Transform):
    """An image uint8 ``[H, W]`` or ``[H, W, C]`` becomes float32 ``[C, H, W]``, divided by 255: numbers from 0 to 1.

    Raises DTypeError for another dtype, ShapeError for another rank.

    >>> ToTensor()(np.array([[0, 51], [102, 255]], np.uint8))
    array([[[0. , 0.2],
            [0.4, 1. ]]], dtype=float32)
    """

    def batch(self, images: np.ndarray) -> np.ndarray:
        if images.dtype != np.uint8:
            raise DTypeError(
                message(
                    "ToTensor: not an image as files hold it",
                    got=_shown(images),
                    expected="uint8 [H, W] or [H, W, C]",
                    at=user_line(),
                    created=False,
                )
            )
        _check_rank("ToTensor", images)
        planes = images[:, None] if images.ndim == 3 else np.moveaxis(images, -1, 1)
        return np.divide(planes, np.float32(255), dtype=np.float32, order="C")

    def __repr__(self) -> str:
        return "ToTensor()"


class Normalize(Transform):
    """``(image - mean) / std``, for each channel of an image float ``[C, H, W]``.

    mean, std   a number, or one for each channel; `std` is not 0

    >>> Normalize([0.5, 0.0], [0.5, 2.0])(np.ones((2, 1, 1)))
    array([[[1. ]],
    <BLANKLINE>
           [[0.5]]])
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]):
        self.mean, self.std = np.atleast_1d(np.asarray(mean, float)), np.atleast_1d(np.asarray(std, float))
        if self.mean.ndim > 1 or self.std.ndim > 1 or not (self.std != 0).all():
            raise InputError(
                message(
                    "Normalize: bad mean or std",
                    got=f"mean={mean}, std={std}",
                    expected="a number or one for each channel, std not 0",
                    at=user_line(),
                    created=False,
                )
            )

    def batch(self, images: np.ndarray) -> np.ndarray:
        _check_float("Normalize", images)
        channels = images.shape[1]
        if {len(self.mean), len(self.std)} - {1, channels}:
            raise ShapeError(
                message(
                    "Normalize: another number of channels",
                    got=_shown(images),
                    expected=f"{max(len(self.mean), len(self.std))} channels",
                    at=user_line(),
                    created=False,
                )
            )
        mean, std = (v.astype(images.dtype)[:, None, None] for v in (self.mean, self.std))
        shifted = np.subtract(images, mean)
        return np.divide(shifted, std, out=shifted)

    def __repr__(self) -> str:
        return f"Normalize(mean={_number(self.mean)}, std={_number(self.std)})"


class Pad(Transform):
    """More pixels around an image.

    padding        for all sides; or (left and right, top and bottom); or (left, top, right, bottom)
    fill           what the new pixels are, where the mode is "constant"
    padding_mode   "constant"; "edge" repeats the last pixel; "reflect" mirrors without it, "symmetric" with it

    >>> Pad(1)(np.full((1, 1), 7, np.uint8))
    array([[0, 0, 0],
           [0, 7, 0],
           [0, 0, 0]], dtype=uint8)
    """

    def __init__(self, padding: int | Sequence[int], fill: float = 0, padding_mode: PaddingMode = "constant"):
        sides = _ints(padding)
        sides = sides * (4 // len(sides)) if len(sides) in (1, 2) else sides
        wrong = len(sides) != 4 or min(sides) < 0
        if wrong or padding_mode not in get_args(PaddingMode):
            raise InputError(
                message(
                    "Pad: bad padding",
                    got=f"padding={padding!r}, padding_mode={padding_mode!r}",
                    expected=f"1, 2 or 4 ints >= 0, and a mode of {', '.join(get_args(PaddingMode))}",
                    at=user_line(),
                    created=False,
                )
            )
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode
        left, top, right, bottom = sides
        self._widths = ((top, bottom), (left, right))

    def batch(self, images: np.ndarray) -> np.ndarray:
        first = _first_axis("Pad", images)
        widths = [(0, 0)] * images.ndim
        widths[first : first + 2] = self._widths
        more = {"constant_values": self.fill} if self.padding_mode == "constant" else {}
        return np.pad(images, widths, self.padding_mode, **more)  # type: ignore[call-overload]

    def __repr__(self) -> str:
        return f"Pad(padding={self.padding}, fill={self.fill}, padding_mode={self.padding_mode})"


class Resize(Transform):
    """An image of another size, by bilinear interpolation, see `graphc.data.resize.weights`.

    size        (height, width); or an int: the length of the smaller side, the other one in proportion, rounded down
    antialias   count all pixels where an image shrinks, as torchvision and Pillow do; False looks at four for each

    Floating-point images keep their dtype; uint8 is computed in float32 and rounded to nearest, halves to even.

    >>> Resize((2, 2))(np.array([[0, 2, 4, 6]] * 4, np.uint8))
    array([[1, 5],
           [1, 5]], dtype=uint8)
    """

    def __init__(self, size: int | Sequence[int], antialias: bool = True):
        sizes = _ints(size)
        if len(sizes) not in (1, 2) or min(sizes) < 1:
            raise InputError(
                message(
                    "Resize: bad size",
                    got=repr(size),
                    expected="an int >= 1, or two: (height, width)",
                    at=user_line(),
                    created=False,
                )
            )
        self.size, self.antialias = size, bool(antialias)
        self._sizes = sizes

    def batch(self, images: np.ndarray) -> np.ndarray:
        first = _first_axis("Resize", images)
        old = images.shape[first : first + 2]
        if 0 in old:
            raise ShapeError(
                message(
                    "Resize: an image without pixels", got=_shown(images), expected="sizes >= 1", at=user_line(),
                    created=False,
                )
            )  # fmt: skip
        height, width = self._sizes * 2 if len(self._sizes) == 1 else self._sizes
        if len(self._sizes) == 1:
            height, width = (max(1, height * side // min(old)) for side in old)
        if images.dtype != np.uint8:
            return resize(images, height, width, self.antialias)
        planes = np.moveaxis(images, -1, 1) if images.ndim == 4 else images
        new = np.rint(resize(planes.astype(np.float32, order="C"), height, width, self.antialias)).astype(np.uint8)
        return np.ascontiguousarray(np.moveaxis(new, 1, -1)) if images.ndim == 4 else new

    def __repr__(self) -> str:
        return f"Resize(size={self.size}, antialias={self.antialias})"


def _first_axis(name: str, images: np.ndarray) -> int:
    """Where height and width stand, in a set of images: axes 1, 2 of uint8, the last two of floating point."""
    if images.dtype == np.uint8:
        _check_rank(name, images)
        return 1
    _check_float(name, images)
    return 2


def _check_rank(name: str, images: np.ndarray) -> None:
    if images.ndim not in (3, 4):
        raise ShapeError(
            message(
                f"{name}: not an image",
                got=_shown(images),
                expected="[H, W] or [H, W, C]",
                at=user_line(),
                created=False,
            )
        )


def _check_float(name: str, images: np.ndarray) -> None:
    if images.dtype not in (np.float32, np.float64) or images.ndim != 4:
        raise DTypeError(
            message(
                f"{name}: not an image as networks take it",
                got=_shown(images),
                expected="float32 or float64 [C, H, W]",
                at=user_line(),
                created=False,
                hint="ToTensor() makes one of a uint8 image" if images.dtype == np.uint8 else "",
            )
        )


def _ints(value: int | Sequence[int]) -> tuple[int, ...]:
    """One int or several as a tuple; an empty one for what are no ints."""
    values = value if isinstance(value, (list, tuple)) else (value,)
    return tuple(int(v) for v in values) if all(isinstance(v, (int, np.integer)) for v in values) else ()


def _shown(images: np.ndarray) -> str:
    """``uint8[28, 28]``: one of the images."""
    return f"{images.dtype}{list(images.shape[1:])}"


def _number(values: np.ndarray) -> Any:
    return values.tolist()[0] if len(values) == 1 else values.tolist()

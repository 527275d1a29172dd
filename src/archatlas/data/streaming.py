"""Reading image files in worker processes, always in the same order and with the same crops.

Legend: `B` images of a batch, `C` channels, `R` resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from archatlas.data.base import CROP, Indices, random_stream
from archatlas.data.pictures import UnreadableError, centre_box, random_box, read_picture, square_pixels
from archatlas.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Calls(Dataset[Result], Generic[Item, Result]):
    """Makes a data set of a function: its indices are the function's arguments."""

    def __init__(self, function: Callable[[Item], Result]) -> None:
        self._function = function

    def __getitem__(self, item: Item) -> Result:
        return self._function(item)


def _as_list(results: list[Result]) -> list[Result]:
    return results


def in_workers(
    function: Callable[[Item], Result], batches: Iterable[Sequence[Item]], *, workers: int
) -> Iterator[list[Result]]:
    """Yield the results of each batch of calls in order, computed ahead by `workers` processes (0: by this one)."""
    loader = DataLoader(
        _Calls(function),
        batch_sampler=list(batches),  # type: ignore[arg-type]
        collate_fn=_as_list,
        num_workers=workers,
        generator=torch.Generator(),  # else the loader would draw from the global one
    )
    yield from loader


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReadOne:
    """Reads one image of a list of files; a picklable function."""

    root: Path
    names: tuple[str, ...]
    resolution: int
    channels: int
    crop_scale: float

    def __call__(self, item: tuple[int, tuple[int, int] | None]) -> torch.Tensor | str:
        """Return pixels `(C, R, R)`, or why there are none."""
        index, crops = item
        try:
            picture = read_picture(self.root / self.names[index])
        except UnreadableError as error:
            return f"{self.root / self.names[index]} can no longer be read: {error}. Restore it and run again."
        if crops is None or self.crop_scale == 1:
            box = centre_box(*picture.size)
        else:
            box = random_box(*picture.size, scale=self.crop_scale, stream=random_stream(CROP, *crops, index))
        return square_pixels(picture, box, resolution=self.resolution, channels=self.channels)


class FilePixels:
    """Images read from files each time they are asked for.

    Args:
        root: Directory of the names.
        names: File of each image, relative to `root`.
        resolution: `R`; the shorter side is scaled to it and the centre cut out, or a random box.
        channels: `C`.
        crop_scale: Smallest share of the area that a random crop keeps; 1: always the centre.
        workers: Reading processes.
    """

    def __init__(
        self,
        *,
        root: Path,
        names: Sequence[str],
        resolution: int,
        channels: int,
        crop_scale: float,
        workers: int,
    ) -> None:
        self._read_one = _ReadOne(
            root=root, names=tuple(names), resolution=resolution, channels=channels, crop_scale=crop_scale
        )
        self._workers = workers

    def read(self, batches: Iterable[Indices], crops: tuple[int, int] | None) -> Iterator[torch.Tensor]:
        """Yield uint8 images `(B, C, R, R)`; see `Pixels.read`.

        Raises:
            DataError: If a file has become unreadable.
        """
        items = [[(int(index), crops) for index in rows] for rows in batches]
        for results in in_workers(self._read_one, items, workers=self._workers):
            yield torch.stack([_pixels(result) for result in results])


def _pixels(result: torch.Tensor | str) -> torch.Tensor:
    if isinstance(result, str):
        raise DataError(result)
    return result

"""Image files through an exported network.

Legend: `B` images of a batch, `C` channels, `R` resolution.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax

from archatlas.data.augmentation import Normalisation
from archatlas.data.pictures import UnreadableError, centre_box, read_picture, square_pixels
from archatlas.exporting.card import NetworkCard
from archatlas.exporting.classifiers import Classifier


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePrediction:
    """What a network says of one image file.

    Args:
        path: The file.
        label: Name of the most probable class; None for a file that cannot be read.
        probability: Of that class, 0 to 1; None likewise.
        error: Why the file cannot be read.
    """

    path: Path
    label: str | None = None
    probability: float | None = None
    error: str | None = None


def predict_images(classifier: Classifier, paths: Sequence[Path], *, batch_size: int = 64) -> Iterator[ImagePrediction]:
    """Yield a prediction for each file, in order; a file that cannot be read gets its error instead.

    Args:
        classifier: The network.
        paths: Images of any size and mode; prepared as the training images were: upright, the centre square scaled to
            the resolution, grey or RGB, 8 bits, normalised.
        batch_size: Images that are in memory at a time.
    """
    normalise = Normalisation(classifier.card.mean, classifier.card.std)
    for first in range(0, len(paths), batch_size):
        batch = paths[first : first + batch_size]
        read = [_pixels(path, classifier.card) for path in batch]
        pixels = [one for one in read if isinstance(one, torch.Tensor)]
        answers = iter(softmax(classifier(normalise(torch.stack(pixels))).astype(np.float64), axis=1) if pixels else ())
        for path, one in zip(batch, read, strict=True):
            yield _prediction(path, one, classifier.card, answers)


def _pixels(path: Path, card: NetworkCard) -> torch.Tensor | UnreadableError:
    """Return uint8 pixels `(C, R, R)`, or why there are none."""
    try:
        picture = read_picture(path)
    except UnreadableError as error:
        return error
    return square_pixels(picture, centre_box(*picture.size), resolution=card.resolution, channels=card.channels)


def _prediction(
    path: Path, read: torch.Tensor | UnreadableError, card: NetworkCard, answers: Iterator[np.ndarray]
) -> ImagePrediction:
    if isinstance(read, UnreadableError):
        return ImagePrediction(path=path, error=str(read))
    probabilities = next(answers)
    best = int(probabilities.argmax())
    return ImagePrediction(path=path, label=card.class_names[best], probability=float(probabilities[best]))

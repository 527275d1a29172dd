"""What predictors are fitted to: normal scores.

One-shot scores have a heavy left tail of broken networks; ranks mapped to a Gaussian have none, and the unit of the
scores no longer matters.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from scipy.stats import rankdata

from archatlas.errors import DataError
from archatlas.records import Architectures, Floats


def normal_scores(scores: npt.ArrayLike) -> Floats:
    """Return `Phi^-1((rank - 1/2) / A)` of scores `(A,)`, higher better; ties share their mean rank."""
    values = np.asarray(scores, dtype=float)
    return np.asarray(ndtri((rankdata(values) - 0.5) / len(values)))


def check_samples(num_choices: tuple[int, ...], architectures: Architectures, scores: Floats) -> None:
    """Refuse samples that nothing can be learnt from.

    Raises:
        DataError: If there are fewer than two, if shapes disagree, an operator is out of range, or the scores are
            constant or not finite.
    """
    if architectures.ndim != 2 or architectures.shape[1] != len(num_choices):
        raise DataError(f"Expected architectures (A, {len(num_choices)}), got shape {architectures.shape}.")
    if scores.shape != (len(architectures),):
        raise DataError(f"Expected one score for each of {len(architectures)} architectures, got {scores.shape}.")
    if len(scores) < 2:
        raise DataError(f"Expected at least two evaluated architectures to fit, got {len(scores)}.")
    if not np.isfinite(scores).all():
        raise DataError(f"Expected finite scores; row {int(np.argmin(np.isfinite(scores)))} is not.")
    if scores.min() == scores.max():
        raise DataError(f"All {len(scores)} scores equal {scores[0]:.6g}: there is nothing to rank.")
    if (architectures >= np.array(num_choices)).any():
        row = int(np.argmax((architectures >= np.array(num_choices)).any(axis=1)))
        raise DataError(f"Row {row} is not of this space: {architectures[row].tolist()}, operators {num_choices}.")

"""The whole error tree.

```
ArchAtlasError                     every error a user can cause; the command line prints it and exits with 2
├── InvalidArchitectureError       (ValueError) an architecture that the space does not hold
├── InfeasibleBudgetError          (ValueError) no architecture meets the budget; carries the cheapest cost
├── ArtifactMismatchError          a file of another space, data set, version or run
├── ConfigError                    (ValueError) a setting, space file or command-line value that cannot be used
├── ExportError                    a network that ONNX cannot hold, or whose file computes something else
├── DataError                      images, tables or labels that are missing or broken
├── StorageError                   a disk that is full or refuses to write; the run stays continuable
└── WorkerError                    workers of a cluster that are lost again and again, or cannot do their work
```

A message says what was expected, what came, and what to do.
"""


class ArchAtlasError(Exception):
    """Base of every error that a user can cause and mend."""


class InvalidArchitectureError(ArchAtlasError, ValueError):
    """An architecture that does not belong to the space."""


class InfeasibleBudgetError(ArchAtlasError, ValueError):
    """No architecture meets the budget.

    Args:
        cost: Name of the cost that cannot be met.
        upper: The budget asked for.
        attainable: The smallest value of this cost that any admissible architecture has.
        note: What else restricted the choice, if anything did.
        hint: A further sentence.
    """

    def __init__(self, cost: str, upper: float, attainable: float, note: str = "", hint: str = "") -> None:
        self.cost, self.upper, self.attainable = cost, upper, attainable
        super().__init__(
            f"No architecture{note} has {cost} <= {upper:,.12g}; the smallest attainable {cost} is "
            f"{attainable:,.12g}. Raise the budget to at least that.{hint}"
        )


class ArtifactMismatchError(ArchAtlasError):
    """A file that belongs to another space, data set, device, format version or run."""


class ConfigError(ArchAtlasError, ValueError):
    """A setting that cannot be used."""


class ExportError(ArchAtlasError):
    """A network that cannot be written as ONNX, or an ONNX file that computes something else."""


class DataError(ArchAtlasError):
    """Images, labels or tables that are missing or broken."""


class StorageError(ArchAtlasError):
    """A disk that is full or refuses to write. What was finished before is whole."""


class WorkerError(ArchAtlasError):
    """Workers of a cluster that are lost again and again, or cannot do their work. What they finished is kept."""

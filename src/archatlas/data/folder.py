"""A user's own images: a directory of class folders, with or without `train/`, `val/` and `test/` above them.

```
images/cat/1.png ...              images/train/cat/1.png ...
images/dog/7.jpg ...       or     images/val/cat/2.png ...
                                  images/test/dog/3.png ...
```

Parts that are missing are drawn from the training images.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PIL import Image

from archatlas.data.base import ImageData
from archatlas.data.config import DataConfig
from archatlas.data.listed import Listed, open_listed
from archatlas.data.listing import inspect_files, list_files
from archatlas.data.pictures import read_picture


def load_folder(config: DataConfig) -> ImageData:
    """List, check, split and open the images of a directory.

    Raises:
        DataError: If there are no images, fewer than two classes, an empty class, or broken files to be refused.
    """
    parts, class_names = list_files(config.path)
    names = [name for part in parts.values() for name in part.names]
    listed = Listed(
        name="folder",
        source=str(config.path),
        parts=parts,
        class_names=class_names,
        found=inspect_files(config.path, names, workers=config.workers),
        read=partial(_read, config.path),
        identity=lambda name: (config.path / name).stat().st_size,
    )
    return open_listed(listed, config)


def _read(root: Path, name: str) -> Image.Image:
    return read_picture(root / name)

"""Medical images to verified, memory-mappable shards.

Names are loaded when they are used, so that `import medprep` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medprep.api import clahe as clahe
    from medprep.api import decode as decode
    from medprep.api import decode_dicom as decode_dicom
    from medprep.api import gamma as gamma
    from medprep.api import lab_to_rgb as lab_to_rgb
    from medprep.api import median as median
    from medprep.api import resize as resize
    from medprep.api import rgb_to_lab as rgb_to_lab
    from medprep.api import shard as shard
    from medprep.shards import ShardReader as ShardReader

    __version__: str

_PLACES = {
    "shard": "medprep.api",
    "decode": "medprep.api",
    "decode_dicom": "medprep.api",
    "resize": "medprep.api",
    "rgb_to_lab": "medprep.api",
    "lab_to_rgb": "medprep.api",
    "clahe": "medprep.api",
    "gamma": "medprep.api",
    "median": "medprep.api",
    "ShardReader": "medprep.shards",
}
__all__ = [
    "ShardReader",
    "__version__",
    "clahe",
    "decode",
    "decode_dicom",
    "gamma",
    "lab_to_rgb",
    "median",
    "resize",
    "rgb_to_lab",
    "shard",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module on first use."""
    if name == "__version__":
        from importlib.metadata import version

        return version("medprep")
    if name in _PLACES:
        value = getattr(import_module(_PLACES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'medprep' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Public names, loaded or not."""
    return sorted({*globals(), *__all__})

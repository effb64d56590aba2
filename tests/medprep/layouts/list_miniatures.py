"""List a collection with the readers of headers that planning would give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from miniatures import fake_headers

from medprep import _core
from medprep.sources import Listing, SourceOptions, list_source


def listing_of(src: Path, layout: str = "auto", **options: Any) -> Listing:
    given: dict[str, Any] = {
        "read_headers": fake_headers,
        "read_sizes": lambda root, paths: _core.probe_files(root, paths, 1),
    }
    return list_source(src, layout=layout, options=SourceOptions(**{**given, **options}))

"""Read what scalars that carry no anatomy predict by themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medtrain.errors import UsageError


def read_shortcuts(path: Path) -> dict[str, dict[str, Any]]:
    """Name of a scalar -> the result of `metrics.single_feature_auroc`, from a JSON file.

    Takes one object of such results, or an object that holds it under `shortcuts`. Raises
    UsageError when the file is none.
    """
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--shortcuts {path}: cannot read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"--shortcuts {path}: not JSON: {error}") from None
    rows = tree.get("shortcuts", tree) if isinstance(tree, dict) else None
    if not isinstance(rows, dict) or not all(
        isinstance(row, dict) and "auroc" in row for row in rows.values()
    ):
        raise UsageError(
            f"--shortcuts {path}: expected an object of NAME: {{'auroc': ...}}, "
            "as metrics.single_feature_auroc gives them"
        )
    return rows

"""Which of two classes the sensitivity is about."""

from __future__ import annotations

import re
from collections.abc import Sequence

from medtrain.errors import ConfigError

# Whole names only: "normal-tension glaucoma" is a disease.
_NEGATIVE_NAME = re.compile(
    r"normal|healthy|negative|neg|benign|control|absent|none|false|0|(no|not|non)[ _-].+",
    re.IGNORECASE,
)
_NUMBER_IN_FRONT = re.compile(r"^\d+[ _.-]+(?=\D)")


def positive_class(classes: Sequence[str], wanted: str = "auto") -> str | None:
    """Return the name of the positive class; None when there are more than two classes.

    wanted: a class name, or "auto": the class that is not named like normal, healthy, negative,
    benign, no_..., not-..., 0; if that does not single one out, the last class.
    Raises ConfigError when the name is no class, or is given for more than two classes.
    """
    if wanted != "auto" and wanted not in classes:
        raise ConfigError(
            f"metrics.positive_class: no class is called '{wanted}'",
            hint=f"classes are {', '.join(repr(c) for c in classes)}, or use 'auto'",
        )
    if len(classes) != 2:
        if wanted != "auto":
            raise ConfigError(
                f"metrics.positive_class '{wanted}' is for 2 classes, the data have {len(classes)}",
                hint="use 'auto': averages over classes are reported",
            )
        return None
    if wanted != "auto":
        return wanted
    candidates = [name for name in classes if not _is_negative(name)]
    return candidates[0] if len(candidates) == 1 else classes[-1]


def _is_negative(name: str) -> bool:
    bare = _NUMBER_IN_FRONT.sub("", name.strip())
    return _NEGATIVE_NAME.fullmatch(bare) is not None

"""What captions talk about: lengths, terms in four groups, and the modality they name.

A term counts once per caption and only as a whole word: `ct` in "structure" or "section" is no
computed tomography. Words that are also everyday English or letters of a stain's name count only
in the case in which the field writes them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median, pstdev
from typing import Any

_ANY_CASE = re.IGNORECASE
_AS_WRITTEN = re.RegexFlag(0)


def _term(pattern: str, flags: re.RegexFlag = _ANY_CASE) -> re.Pattern[str]:
    return re.compile(rf"(?<![^\W_])(?:{pattern})(?![^\W_])", flags)


TERM_GROUPS: Mapping[str, Mapping[str, re.Pattern[str]]] = {
    "imaging": {
        "CT": _term(r"CTs?|computed tomograph(?:y|ic)|HRCT|CBCT"),
        "MRI": _term(r"MRIs?|magnetic resonance|T[12][- ]weighted|FLAIR"),
        "X-ray": _term(r"x[- ]?rays?|radiograph(?:s|y|ic)?|roentgenograms?"),
        "ultrasound": _term(r"ultraso(?:und|nograph\w*)|sonogra(?:m|ms|phy|phic)|echocardiogra\w+"),
        "microscopy": _term(r"microscop(?:y|ic|e)|(?:photo)?micrographs?|histolog\w+"),
        "PET": _term(r"PET(?:[-/ ]CT)?|SPECT", _AS_WRITTEN),
        "endoscopy": _term(r"(?:endo|colono|gastro|broncho)scop(?:y|ic)"),
        "angiography": _term(r"angiogra(?:m|ms|phy|phic)"),
        "fundus": _term(r"fundus|fundoscop\w+|retinal photograph\w*"),
        "OCT": _term(r"OCT|optical coherence tomography", _AS_WRITTEN),
        "dermoscopy": _term(r"derm(?:at)?oscop(?:y|ic)"),
    },
    "anatomy": {
        "cell": _term(r"cells?|cellular"),
        "tissue": _term(r"tissues?"),
        "lung": _term(r"lungs?|pulmonary"),
        "brain": _term(r"brains?|cerebral"),
        "liver": _term(r"livers?|hepatic"),
        "heart": _term(r"hearts?|cardiac"),
        "kidney": _term(r"kidneys?|renal"),
        "bone": _term(r"bones?|osseous"),
        "breast": _term(r"breasts?|mammary"),
        "eye": _term(r"eyes?|retina(?:l|e|s)?|optic disc"),
        "skin": _term(r"skin|cutaneous|dermal"),
    },
    "pathology": {
        "tumour": _term(r"tumou?rs?|neoplas(?:m|ms|tic)"),
        "lesion": _term(r"lesions?"),
        "cancer": _term(r"cancers?|cancerous|carcinomas?|malignan(?:t|cy|cies)"),
        "inflammation": _term(r"inflamm(?:ation|atory|ed)"),
        "necrosis": _term(r"necro(?:sis|tic)"),
        "fibrosis": _term(r"fibro(?:sis|tic)"),
        "metastasis": _term(r"metasta(?:sis|ses|tic)"),
        "oedema": _term(r"o?edema(?:tous)?"),
        "fracture": _term(r"fractur(?:e|es|ed)"),
        "pneumonia": _term(r"pneumonias?"),
    },
    "stain": {
        "H&E": _term(r"H\s?&\s?E|ha?ematoxylin|eosin(?!ophil)"),
        "immunohistochemistry": _term(r"immunohistochem\w+|immunostain\w*|IHC"),
        "fluorescence": _term(r"(?:immuno)?fluorescen(?:ce|t)|DAPI|GFP"),
        "Giemsa": _term(r"giemsa"),
        "PAS": _term(r"PAS|periodic acid[- ]Schiff", _AS_WRITTEN),
        "stained": _term(r"stain(?:s|ed|ing)?"),
    },
}
"""Group -> term -> its spellings."""

CAPTION_MODALITIES = (
    *("PET", "CT", "MRI", "ultrasound", "angiography", "OCT", "fundus"),
    *("dermoscopy", "endoscopy", "X-ray", "microscopy"),
)
"""The order in which a caption's imaging terms decide; PET first, as PET/CT names both."""

MODALITY_RULE = (
    "a layout that has one modality says it; else the first imaging term of this order that the "
    f"caption holds as a whole word: {', '.join(CAPTION_MODALITIES)}; else unknown"
)


def count_terms(captions: Iterable[str]) -> dict[str, dict[str, int]]:
    """Number of captions that hold each term, by group, most frequent first."""
    counts: dict[str, Counter[str]] = {group: Counter() for group in TERM_GROUPS}
    for caption in captions:
        for group, terms in TERM_GROUPS.items():
            counts[group].update(
                name for name, spelling in terms.items() if spelling.search(caption)
            )
    return {group: dict(found.most_common()) for group, found in counts.items()}


def modality_of(caption: str) -> str:
    """The modality that the caption names, or `unknown`; see `MODALITY_RULE`."""
    imaging = TERM_GROUPS["imaging"]
    named = (name for name in CAPTION_MODALITIES if imaging[name].search(caption))
    return next(named, "unknown")


def lengths(captions: Sequence[str]) -> dict[str, dict[str, float]]:
    """Mean, std, min, median, 95th percentile, max of both; words are split at spaces."""
    return {
        "characters": _spread([len(caption) for caption in captions]),
        "words": _spread([len(caption.split()) for caption in captions]),
    }


def _spread(values: Sequence[int]) -> dict[str, float]:
    ordered = sorted(values)
    at_95 = ordered[min(len(ordered) - 1, -(-95 * len(ordered) // 100) - 1)]  # nearest rank
    return {
        "mean": fmean(ordered),
        "std": pstdev(ordered),
        "min": ordered[0],
        "median": median(ordered),
        "p95": at_95,
        "max": ordered[-1],
    }


def summarise_captions(captions: Sequence[str | None]) -> dict[str, Any] | None:
    """Everything about the captions of a collection; None where no image has one."""
    present = [caption for caption in captions if caption is not None and caption.strip()]
    if not present:
        return None
    return {
        "captions": len(present),
        "without": len(captions) - len(present),
        "different": len(set(present)),
        **lengths(present),
        "terms": count_terms(present),
    }

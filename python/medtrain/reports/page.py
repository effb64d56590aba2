"""Put the sections into one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medtrain import files
from medtrain.reports.cautions import cautions
from medtrain.reports.collect import Run, read_runs
from medtrain.reports.compare import compare
from medtrain.reports.comparison_section import comparison_section
from medtrain.reports.document import document
from medtrain.reports.markup import Markup, joined, tag
from medtrain.reports.measures import Shortcuts, best_metrics
from medtrain.reports.run_section import run_section, state_mark


def write_html(runs: Sequence[Path], out: Path, *, shortcuts: Shortcuts | None = None) -> Path:
    """Write one self-contained HTML report of one or several run folders and return its path.

    shortcuts: name of a scalar -> result of `metrics.single_feature_auroc`. The file appears
    whole or not at all. Raises UsageError for a folder that is no run.
    """
    page = render(read_runs([Path(run) for run in runs]), shortcuts)
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(out, page)
    return out


def report_data(runs: Sequence[Path], *, shortcuts: Shortcuts | None = None) -> dict[str, Any]:
    """Return what the page says as JSON-ready data."""
    found = read_runs([Path(run) for run in runs])
    data: dict[str, Any] = {"runs": [_run_data(run, shortcuts) for run in found]}
    if len(found) > 1:
        data["comparison"] = compare(found)
    if shortcuts:
        data["shortcuts"] = {name: dict(row) for name, row in shortcuts.items()}
    return data


def render(runs: Sequence[Run], shortcuts: Shortcuts | None = None) -> str:
    """Return the page as text; the same runs give the same page."""
    if len(runs) == 1:
        title = runs[0].name
        body = joined([_heading(runs[0]), run_section(runs[0], shortcuts)])
    else:
        title = f"{len(runs)} runs"
        body = joined(
            [
                tag(
                    "header",
                    tag("p", "medtrain report", class_="kicker"),
                    tag("h1", f"{len(runs)} runs compared"),
                ),
                comparison_section(runs, compare(runs)),
                tag(
                    "section",
                    tag("h2", "Each run"),
                    *(_folded(run, shortcuts) for run in runs),
                ),
            ]
        )
    return document(title, body, foot="Made by medtrain from the run folders named above.")


def _heading(run: Run) -> Markup:
    words = [word for word in (run.recipe, run.model, run.strategy) if word]
    return tag(
        "header",
        tag("p", "medtrain report", class_="kicker"),
        tag("h1", run.name, " ", state_mark(run)),
        tag("p", " · ".join(words), class_="subtitle") if words else "",
    )


def _folded(run: Run, shortcuts: Mapping[str, Mapping[str, Any]] | None) -> Markup:
    return tag(
        "details",
        tag("summary", run.name, " ", state_mark(run)),
        run_section(run, shortcuts),
        class_="run",
    )


def _run_data(run: Run, shortcuts: Shortcuts | None) -> dict[str, Any]:
    best = run.best_epoch()
    quoted = best_metrics(run)
    return {
        "run": str(run.path),
        "name": run.name,
        "state": run.state,
        "recipe": run.recipe,
        "model": run.model,
        "digest": run.digest,
        "commit": run.commit,
        "strategy": run.strategy,
        "world_size": run.world_size,
        "threads": run.threads,
        "precision": run.precision,
        "seed": run.seed,
        "device": run.device,
        "epochs": len(run.epochs),
        "planned_epochs": run.planned_epochs,
        "best_epoch": best[0] if best else None,
        "images_per_s": run.images_per_s(),
        "waiting_share": run.waiting_share(),
        "quoted_split": quoted[0] if quoted else None,
        **{split: dict(metrics) for split, metrics in run.metrics.items()},
        "cautions": cautions(run, shortcuts),
    }

"""One self-contained HTML page, and the same facts as data, from the folders of training runs.

Reads the run folders alone: no torch, no network, no JavaScript in the page.
"""

from medtrain.reports.collect import Predictions, Run, read_run
from medtrain.reports.compare import compare
from medtrain.reports.page import report_data, write_html
from medtrain.reports.shortcuts import read_shortcuts

__all__ = [
    "Predictions",
    "Run",
    "compare",
    "read_run",
    "read_shortcuts",
    "report_data",
    "write_html",
]

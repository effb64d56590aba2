"""Exploration: what a collection is, what is wrong with it, what `shard` would make of it.

Flow: listing -> headers -> facts -> summary (JSON) -> pictures and page. Nothing is decoded.
"""

from medprep.scan.session import Scan, ScanOptions, scan, write_files

__all__ = ["Scan", "ScanOptions", "scan", "write_files"]

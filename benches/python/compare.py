"""Compare medprep with its peers on the same images: same work, same core, in turns.

Writes compare.md, compare.json and compare.png. Peers that are not installed are named as left out;
`pip install opencv-python-headless simplejpeg deflate albumentations kornia-rs 'pyvips[binary]'
nvidia-dali-cuda120` brings them all (the last is 870 MB, and needs no GPU).

    python benches/python/compare.py --short
    python benches/python/compare.py --data ../shared/data --update docs/performance.md
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import peer_report
from data_sets import DataSetResult, measure_data_sets
from medprep import _core, machine
from medprep.errors import MedprepError
from peers import CHAIN_PEERS
from rounds import ChainResult, PeerError, measure_chains
from run_cost import RunCosts, measure_run_costs
from stage_times import StageTimes, measure_stages
from workloads import WORKLOADS, Workload, describe, find_files

SHORT_IMAGES, FULL_IMAGES = 4, 100  # at most, of each workload; generated: GENERATED_IMAGES
GENERATED_IMAGES = 8
SHORT_ROUNDS, FULL_ROUNDS = 3, 9
SHORT_WORKLOADS = ("JPEG 2480x2048 -> 224", "JPEG 512 -> 224", "PNG 512 -> 224", "post-chain 224")
# Of a data set: enough that the start of a run is a small part of it.
SHORT_DATA_SET_MP, FULL_DATA_SET_MP = 8, 200
MAX_DATA_SET_IMAGES = 400


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with fundus-highres, fundus-512, cxr")
    parser.add_argument("--out", type=Path, default=Path("runs/compare"))
    parser.add_argument("--short", action="store_true", help="few workloads, few images: 1 min")
    parser.add_argument("--images", type=int, help="of each workload, at most")
    parser.add_argument("--rounds", type=int, help="measured rounds, after one of warm-up")
    parser.add_argument("--workload", action="append", help="part of a name; may be repeated")
    parser.add_argument("--threads", type=int, help="of medprep against Dask; default: all cores")
    parser.add_argument("--core", type=int, help="for the chains; default: the last")
    parser.add_argument("--no-data-sets", action="store_true", help="chains only")
    parser.add_argument("--update", type=Path, metavar="PAGE", help="put the tables into PAGE")
    return parser.parse_args(words)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def choose(arguments: argparse.Namespace) -> list[Workload]:
    wanted = arguments.workload or (SHORT_WORKLOADS if arguments.short else [""])
    return [w for w in WORKLOADS if any(word.lower() in w.name.lower() for word in wanted)]


def data_set_images(described: dict, *, short: bool) -> int:
    """How many images make a data set long enough to time."""
    megapixels = SHORT_DATA_SET_MP if short else FULL_DATA_SET_MP
    each = described["pixels"] / described["images"] / 1e6
    return max(described["images"], min(MAX_DATA_SET_IMAGES, round(megapixels / each)))


def versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"python": platform.python_version()}
    for peer in CHAIN_PEERS:
        found |= peer.versions() or dict.fromkeys(peer.distributions[:1])
    return {**found, "core path": _core.cpu_path()}


def run(arguments: argparse.Namespace) -> peer_report.Report:
    box, found = machine.describe(), versions()
    rounds = arguments.rounds or (SHORT_ROUNDS if arguments.short else FULL_ROUNDS)
    core = max(os.sched_getaffinity(0)) if arguments.core is None else arguments.core
    threads = arguments.threads or machine.cores().usable
    chains: list[ChainResult] = []
    made: list[DataSetResult] = []
    costs: list[RunCosts] = []
    stages: list[StageTimes] = []
    with tempfile.TemporaryDirectory(prefix="medprep-compare-input-") as scratch:
        for workload in choose(arguments):
            most = arguments.images or (SHORT_IMAGES if arguments.short else FULL_IMAGES)
            say(f"{workload.name}: looking for images")
            files = find_files(
                workload, arguments.data, Path(scratch), most, generated=GENERATED_IMAGES
            )
            is_real = Path(scratch) not in files[0].parents
            described = describe(files, is_real=is_real)
            chains.append(
                measure_chains(workload, files, described, rounds=rounds, core=core, progress=say)
            )
            if arguments.no_data_sets:
                continue
            images = data_set_images(described, short=arguments.short)
            few = max(1, rounds // 3)
            if not workload.is_post_chain:
                stages.append(
                    measure_stages(workload, files, images=images, rounds=few, progress=say)
                )
            if workload.in_data_sets:
                made.append(
                    measure_data_sets(
                        workload,
                        files,
                        images=images,
                        threads=threads,
                        rounds=few,
                        is_real=is_real,
                        progress=say,
                    )
                )
                costs.append(
                    measure_run_costs(
                        workload, files, images=images, rounds=few, is_real=is_real, progress=say
                    )
                )
    return peer_report.Report(
        machine=box,
        versions=found,
        rounds=rounds,
        core=core,
        chains=chains,
        data_sets=made,
        run_costs=costs,
        stage_times=stages,
    )


def main(words: Sequence[str] | None = None) -> int:
    arguments = parse(words)
    if not choose(arguments):
        say(f"no workload of that name; there are: {', '.join(w.name for w in WORKLOADS)}")
        return 2
    try:
        report = run(arguments)
        peer_report.write_files(report, arguments.out)
        if arguments.update is not None:
            peer_report.update_page(arguments.update, report)
    except (MedprepError, PeerError) as error:
        say(f"compare: {error}")
        return 1
    print(arguments.out / "compare.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())

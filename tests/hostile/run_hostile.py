"""Meet hostile files as a worker does and hold the product to its promises.

`python tests/hostile/run_hostile.py [FOLDER] [--count 10000]` judges every file of FOLDER, or that
many mutated ones, in a process of its own and through `medprep shard`, and prints what broke a
promise. Exit code 1 then. `make hostile` runs it.

The promises: no crash, no escaped panic, no more than 10 s and 1 GiB for any file, every file ends
decoded or with one line of reason, and both kernels accept the same files.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import selectors
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from judge import GIB
from mutations import write_mutations

TIMEOUT_S = 10.0  # of CPU time for one file
_KILL_AFTER_S = 60.0  # of wall time: the machine may be busy, a hang never ends
_EXTRA_BYTES = GIB
_HERE = Path(__file__).resolve().parent


@dataclass(kw_only=True)
class Report:
    """What became of the files; `broken` holds (file, promise that was broken)."""

    files: int = 0
    verdicts: dict[str, dict[str, Any]] = field(default_factory=dict)
    broken: list[tuple[str, str]] = field(default_factory=list)
    panics: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")
    largest: tuple[int, str] = (0, "")

    def counts(self) -> dict[str, int]:
        """Files per outcome of the Rust kernel."""
        found = Counter(
            "decoded" if v["verdicts"]["rust"]["ok"]
            else "kept" if v["verdicts"]["keep"]["ok"]
            else "DICOM decoded" if v["verdicts"]["dicom-stored"]["ok"]
            else "refused" for v in self.verdicts.values()
        )  # fmt: skip
        return dict(sorted(found.items()))


class Judge:
    """The judging process, restarted when it dies."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._start()

    def _start(self) -> None:
        with self._log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(_HERE / "judge.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        if self._answer() != {"ready": True}:
            raise RuntimeError(f"the judge does not start, see {self._log}")

    def ask(self, path: Path) -> dict[str, Any] | str:
        """The verdicts, or what became of the process instead."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{path}\n".encode())
            self._process.stdin.flush()
            answer = self._answer()
        except BrokenPipeError:
            answer = None
        if isinstance(answer, dict):
            return answer
        if self._process.poll() is None:
            self._process.kill()
        code = self._process.wait()
        self._start()
        return "hangs" if answer == "hangs" else f"the process died (exit code {code})"

    def _answer(self) -> dict[str, Any] | str | None:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(_KILL_AFTER_S):
                return "hangs"
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            return None
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def judge_files(paths: Sequence[Path], log: Path) -> Report:
    """Every file in the judging process."""
    report = Report(files=len(paths))
    judge = Judge(log)
    try:
        for path in paths:
            answer = judge.ask(path)
            if isinstance(answer, str):
                report.broken.append((path.name, answer))
                continue
            report.verdicts[path.name] = answer
            report.broken += [(path.name, broken) for broken in broken_promises(answer)]
            seconds = max(v["seconds"] for v in answer["verdicts"].values())
            report.slowest = max(report.slowest, (seconds, path.name))
            report.largest = max(report.largest, (answer["extra_bytes"], path.name))
    finally:
        judge.close()
    for line in log.read_text(errors="replace").splitlines():
        if "panicked" in line:
            report.panics[line] += 1
    return report


def broken_promises(answer: dict[str, Any]) -> Iterable[str]:
    """What one file's verdicts break."""
    verdicts = answer["verdicts"]
    for name, found in verdicts.items():
        if found["seconds"] > TIMEOUT_S:
            yield f"{name}: {found['seconds']:.1f} s"
        if found["ok"]:
            continue
        if found["kind"] == "ESCAPED" or "internal error" in found["reason"]:
            yield f"{name}: {found['kind']}: {found['reason']}"
        elif not found["reason"].strip() or "\n" in found["reason"]:
            yield f"{name}: the reason is not one line: {found['reason']!r}"
    if answer["extra_bytes"] > _EXTRA_BYTES:
        yield f"{answer['extra_bytes'] / GIB:.2f} GiB of extra memory"
    if verdicts["rust"]["ok"] != verdicts["python"]["ok"]:
        words = [f"{k}: {verdicts[k].get('reason', 'accepted')}" for k in ("rust", "python")]
        yield f"kernels disagree: {'; '.join(words)}"
    if verdicts["rust"]["ok"] and not verdicts["keep"]["ok"]:
        yield f"accepted, but not with --on-damage keep: {verdicts['keep']['reason']}"


def shard_files(paths: Sequence[Path], work: Path, *, kernel: str, threads: int) -> dict[str, Any]:
    """The files through `medprep shard`; names become numbers, as formats are told by content.

    Returns the digest and what broke a promise.
    """
    source, out = work / "src", work / f"out-{kernel}"
    if not source.exists():
        source.mkdir(parents=True)
        for number, path in enumerate(paths):
            shutil.copyfile(path, source / f"{number:05}.png")
    command = [sys.executable, "-m", "medprep", "shard", str(source), str(out), "--json"]
    command += ["--layout", "files", "--size", "32", "--keep-paths", "--kernel", kernel]
    command += ["--threads", str(threads), "--shard-samples", "500"]
    stderr = work / f"{kernel}.stderr"
    with stderr.open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        assert process.stdout is not None
        result = process.stdout.read()
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    broken = list(_broken_run(process.returncode, result, stderr, out, len(paths), paths))
    peak = usage.ru_maxrss * 1024
    if peak > (threads + 0.5) * _EXTRA_BYTES:
        broken.append(("(run)", f"kernel {kernel}: {peak / GIB:.2f} GiB with {threads} threads"))
    summary = json.loads(result) if process.returncode in (0, 3) else {}
    return {"digest": summary.get("digest"), "images": summary.get("images"), "broken": broken}


def _broken_run(
    code: int, result: bytes, stderr: Path, out: Path, files: int, paths: Sequence[Path]
) -> Iterable[tuple[str, str]]:
    text = stderr.read_text(errors="replace")
    if "Traceback" in text:
        yield "(run)", "a traceback on stderr"
    if code not in (0, 3):
        yield "(run)", f"exit code {code}: {text[-300:]}"
        return
    images = json.loads(result).get("images", 0)  # no data set is made of none
    failures = (out / "failures.jsonl").read_text().splitlines()
    if images + len(failures) != files:
        yield "(run)", f"{images} + {len(failures)} of {files} files accounted for"
    for line in failures:
        failure = json.loads(line)
        name = paths[int(failure["path"].split(".")[0])].name
        if not failure["reason"].strip() or "\n" in failure["reason"]:
            yield name, f"the reason is not one line: {failure['reason']!r}"
        if "internal error" in failure["reason"]:
            yield name, failure["reason"]


def check(paths: Sequence[Path], *, threads: int = 2) -> Report:
    """Judge the files one by one, then in one run per kernel."""
    with tempfile.TemporaryDirectory(prefix="medprep-hostile-") as folder:
        work = Path(folder)
        report = judge_files(paths, work / "judge.stderr")
        runs = {
            kernel: shard_files(paths, work, kernel=kernel, threads=threads)
            for kernel in ("rust", "python")
        }
    for run in runs.values():
        report.broken += run["broken"]
    if runs["rust"]["digest"] != runs["python"]["digest"]:
        report.broken.append(("(run)", f"the kernels made different data sets: {runs}"))
    return report


def describe(report: Report) -> str:
    """A page for people."""
    lines = [f"{report.files} files: {report.counts()}"]
    lines.append(f"slowest {report.slowest[0]:.2f} s of CPU time ({report.slowest[1]})")
    lines.append(f"most memory {report.largest[0] / 2**20:.0f} MiB extra ({report.largest[1]})")
    lines += [f"caught {count} x {panic}" for panic, count in report.panics.most_common(20)]
    lines.append(f"{len(report.broken)} broken promises")
    lines += [f"  {name}: {what}" for name, what in report.broken[:100]]
    return "\n".join(lines)


def main() -> int:
    """Check what the command line names; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="files to meet [mutated ones]")
    parser.add_argument("--count", type=int, default=10_000, help="mutated files to make")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory(prefix="medprep-mutated-") as folder:
        if arguments.folder is None:
            paths = write_mutations(Path(folder), count=arguments.count, seed=arguments.seed)
        else:
            paths = sorted(path for path in arguments.folder.rglob("*") if path.is_file())
        report = check(paths, threads=arguments.threads)
    print(describe(report))
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env bash
# Stop what start.sh started in BASE, jobs included, by the process ids it left there.
set -uo pipefail

base=$(realpath -m "${1:?usage: stop.sh BASE}")
export SLURM_CONF=$base/slurm.conf
if [[ -f $base/slurmctld.pid ]]; then
    timeout 10 scancel --user=root >/dev/null 2>&1
    for _ in $(seq 20); do # SLURM ends the jobs' processes itself (KillWait 5 s)
        [[ -n $(timeout 5 squeue --noheader 2>/dev/null) ]] || break
        sleep 0.5
    done
fi

pids=()
for file in "$base"/slurmd-n1.pid "$base"/slurmd-n2.pid "$base"/slurmctld.pid \
    "$base"/munge/munged.pid; do
    [[ -f $file ]] && pids+=("$(<"$file")")
done
for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null
    for _ in $(seq 50); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null
done
exit 0

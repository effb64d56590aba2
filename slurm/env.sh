# Shared by the job scripts in this folder: source it, do not run it.
#
# What to adapt to a site is set by environment variables (or edit the defaults here):
#   MEDPREP_VENV      virtual environment to activate; empty: medprep is on PATH already
#   MEDPREP_MODULES   environment modules to load first, for example "gcc/12 cuda/12.4"
#   MAX_RESTARTS      how often a job that stopped safely (exit 75) puts itself back in the queue
#
# Network settings (NCCL_*, GLOO_*) and secrets do not belong here: the defaults of torch are right
# on most clusters, and what a site needs belongs into its own profile or modules.
# shellcheck shell=bash

MEDPREP_VENV=${MEDPREP_VENV:-}
MEDPREP_MODULES=${MEDPREP_MODULES:-}
MAX_RESTARTS=${MAX_RESTARTS:-20}

if [[ -n $MEDPREP_MODULES ]]; then
    # shellcheck disable=SC2086  # several modules, separated by spaces
    module load $MEDPREP_MODULES
fi
if [[ -n $MEDPREP_VENV ]]; then
    # shellcheck disable=SC1091
    source "$MEDPREP_VENV/bin/activate"
fi

# One level of parallelism, and it is medprep's (--threads) or medtrain's (--procs, --threads):
# without these caps every process would start one thread per core of the node.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMEXPR_NUM_THREADS=1
export OPENCV_FOR_THREADS_NUM=1

# Cores that this task was given.
cores() { echo "${SLURM_CPUS_PER_TASK:-$(nproc)}"; }

# run COMMAND...: run it and return its exit status, passing SLURM's warning (USR1, see --signal)
# on to it: as TERM, but to srun as USR1, which it forwards to its tasks; TERM would make it kill
# them.
#
# In the background, because a bash trap only runs between commands; `wait` ends early when a
# trapped signal arrives, so it is repeated then. TERM is caught but not passed on: SLURM sends it
# to every process of the job, and a second one would mean "at once" to medprep.
run() {
    local status interrupted warning=TERM
    [[ $1 != srun ]] || warning=USR1
    "$@" &
    local child=$!
    # shellcheck disable=SC2064  # expand now: this child and its signal
    trap "interrupted=1; kill -$warning $child 2>/dev/null || true" USR1 USR2
    trap 'interrupted=1' TERM
    while true; do
        interrupted=0
        status=0
        wait "$child" || status=$?
        ((interrupted)) || break
    done
    trap - TERM USR1 USR2
    return "$status"
}

# finish STATUS: end the job. 75 means stopped safely, run again to go on: back into the queue.
finish() {
    local status=$1
    local restarts=${SLURM_RESTART_COUNT:-0}
    if [[ $status -eq 75 && -n ${SLURM_JOB_ID:-} ]]; then
        if ((restarts < MAX_RESTARTS)); then
            echo "stopped safely; requeueing job $SLURM_JOB_ID (restart $((restarts + 1)))" >&2
            scontrol requeue "$SLURM_JOB_ID" && exit 75
            echo "scontrol requeue failed; submit this script again to go on" >&2
        else
            echo "stopped safely, but $restarts restarts are enough (MAX_RESTARTS)" >&2
        fi
    fi
    exit "$status"
}

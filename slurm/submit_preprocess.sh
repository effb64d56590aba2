#!/usr/bin/env bash
# Submit a whole preprocessing as three jobs: plan -> array of PARTS tasks -> merge and verify.
#
#   SRC=/data/fundus OUT=/scratch/fundus PARTS=16 slurm/submit_preprocess.sh [plan options]
#
# The options (--preset, --size, --split ...) go to `medprep plan`; the parts follow the plan.
# SHARD_OPTIONS   what concerns running only, for the parts: "--kernel python --on-error fail"
# SBATCH_OPTIONS  sbatch options for all three jobs: "--partition=short --account=me"
# Prints the id of the last job: when it is done with 0 or 3, OUT is complete and verified.
set -euo pipefail

export SRC=${SRC:?set SRC to the folder of images}
export OUT=${OUT:?set OUT to the folder for the shards}
export PARTS=${PARTS:?set PARTS to the number of array tasks}
SHARD_OPTIONS=${SHARD_OPTIONS:-}
SBATCH_OPTIONS=${SBATCH_OPTIONS:-}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export ENV_SH=${ENV_SH:-$here/env.sh}

submit() { # submit STAGE [sbatch option...] -- [shard option...]
    export STAGE=$1
    shift
    local options=()
    while [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    shift
    # shellcheck disable=SC2086  # several options, separated by spaces
    sbatch --parsable --export=ALL "${options[@]}" $SBATCH_OPTIONS "$here/preprocess.sbatch" "$@" |
        cut -d ';' -f 1
}

plan=$(submit plan --cpus-per-task=2 -- "$@")
# shellcheck disable=SC2086  # several options, separated by spaces
parts=$(submit shard --array="0-$((PARTS - 1))" --dependency="afterok:$plan" \
    --kill-on-invalid-dep=yes -- $SHARD_OPTIONS)
merge=$(submit merge --dependency="afterok:$parts" --kill-on-invalid-dep=yes --)
echo "submitted: plan $plan, array $parts (0-$((PARTS - 1))), merge and verify $merge" >&2
echo "$merge"

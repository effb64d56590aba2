#!/usr/bin/env bash
# Start a real SLURM on this machine: one controller, two nodes with pretended GPUs.
#
#   tests/slurm/local/start.sh BASE     then: export SLURM_CONF=BASE/slurm.conf
#   tests/slurm/local/stop.sh BASE
#
# Needs root. Installs slurm-wlm and munge with apt when they are missing. Everything else (keys,
# sockets, state, logs) stays in BASE, which must be a folder that only root may write.
# Exit status 77: cannot run here, with the reason on stderr.
set -euo pipefail

base=$(realpath -m "${1:?usage: start.sh BASE}")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
skip() {
    echo "$1" >&2
    exit 77
}

[[ $(id -u) -eq 0 ]] || skip "a local SLURM needs root"
if ! command -v slurmctld slurmd munged sbatch >/dev/null; then
    command -v apt-get >/dev/null || skip "slurm-wlm is not installed and there is no apt-get"
    {
        apt-get update -qq &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
                slurm-wlm munge
    } >&2 || skip "apt-get could not install slurm-wlm and munge"
fi

mkdir -p "$base"/{state,spool-n1,spool-n2,munge}
chmod 700 "$base/munge"
for gpu in 0 1; do
    [[ -e $base/gpu$gpu ]] || mknod "$base/gpu$gpu" c 1 3
done

# munge of our own: neither the machine's key nor its socket is touched
key=$base/munge/munge.key
[[ -f $key ]] || dd if=/dev/urandom of="$key" bs=1 count=1024 status=none
chmod 400 "$key"
munged --force --key-file="$key" --socket="$base/munge/socket" --pid-file="$base/munge/munged.pid" \
    --log-file="$base/munge/munged.log" --seed-file="$base/munge/seed"

cores=$(nproc)
cat >"$base/slurm.conf" <<CONF
ClusterName=mini
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$base/munge/socket
CryptoType=crypto/munge
StateSaveLocation=$base/state
SlurmdSpoolDir=$base/spool-%n
SlurmctldPidFile=$base/slurmctld.pid
SlurmdPidFile=$base/slurmd-%n.pid
SlurmctldLogFile=$base/slurmctld.log
SlurmdLogFile=$base/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
GresTypes=gpu
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=30
KillWait=5
MinJobAge=300
JobRequeue=1
MaxArraySize=1001
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$base/jobcomp.txt
NodeName=n1 Gres=gpu:2 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=17001 CPUs=$cores RealMemory=2000 State=UNKNOWN
NodeName=n2 Gres=gpu:2 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=17002 CPUs=$cores RealMemory=2000 State=UNKNOWN
PartitionName=cpu Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
CONF
echo "NodeName=n[1-2] Name=gpu File=$base/gpu[0-1]" >"$base/gres.conf"

export SLURM_CONF=$base/slurm.conf
slurmctld
slurmd -N n1
slurmd -N n2
for _ in $(seq 60); do
    [[ $(sinfo --noheader --format=%T 2>/dev/null) == idle ]] && exit 0
    sleep 0.5
done
echo "the nodes did not become idle within 30 s:" >&2
{ sinfo || true; tail -n 5 "$base"/*.log || true; } >&2
"$here/stop.sh" "$base"
exit 1

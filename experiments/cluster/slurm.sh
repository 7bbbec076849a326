#!/bin/bash
#SBATCH --job-name=ganzoo
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=4
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
# Usage: sbatch slurm.sh MODEL [OPTIONS]; see README.md. Each process sees all GPUs of its node and uses the one whose
# number is its local rank.
set -u
model=$1
shift
folder=experiments
for ((i = 1; i < $#; i++)); do
    [ "${!i}" = --experiments ] && j=$((i + 1)) && folder=${!j}
done
if compgen -G "$folder/*/options.json" >/dev/null; then
    set -- --resume latest --experiments "$folder"
fi
mpirun ganzoo train "$model" "$@" &
job=$!
# Slurm signals the shell; mpirun passes the signal on to the processes, which stop with a checkpoint.
trap 'kill -USR1 "$job"' USR1
# The signal interrupts `wait`, so wait again.
while kill -0 "$job" 2>/dev/null; do wait "$job"; done

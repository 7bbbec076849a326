#!/usr/bin/env bash
# A session on a GPU machine, run from the root of the repository, with the folder made by prepare.sh:
#
#     OUT=FOLDER bash experiments/gpu/kit.sh contact 205    # builds Jittor, compiles kernels
#     OUT=FOLDER bash experiments/gpu/kit.sh main 450    # losses, values, speed, profile, a training with pictures
#
# The number is the time limit in seconds. At most eight files of 16 MB are put in $OUT (default $GZ_WORK/out); all else
# is written below $GZ_WORK. GZ_DEVICE=cpu GZ_SMALL=1 GZ_PYTHON=.venv/bin/python rehearses a session without a GPU.
#
# Each step is a process with a deadline, after which it starts nothing new. No step is killed, because that might hang
# the GPU or leave a lock of Jittor's behind. A late step is left alone, and the session continues.
set -u
STAGE=${1:-} LIMIT=${2:-}
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PY=${GZ_PYTHON:-python3}
RESERVE=20       # seconds to pack the results
GRACE=12         # seconds that a step may run past its deadline
GAP=${GZ_GAP:-4} # seconds between starts of processes, because imports wait for each other
declare -A PIDS=()

now() { echo $(($(date +%s) - GZ_START)); }
left() { echo $((LIMIT - RESERVE - $(now))); }
least() { if [ "$1" -lt "$2" ]; then echo "$1"; else echo "$2"; fi; }
say() { echo "[$(now) s] $*"; }
step_py() { "$PY" "$HERE/step.py" "$@"; }
jobs_of() { step_py jobs "$1"; }
running() { [ -n "${PIDS[$1]:-}" ] && kill -0 "${PIDS[$1]}" 2>/dev/null; }
# shellcheck source-path=SCRIPTDIR source=setup.sh
. "$HERE/setup.sh"

# begin NAME SECONDS COMMAND...: starts a step with a deadline in that many seconds.
begin() {
    local name=$1 seconds
    seconds=$(least "$2" "$(left)")
    shift 2
    if [ "$seconds" -lt 3 ]; then
        say "$name: skipped, out of time"
        return 1
    fi
    GZ_DEADLINE=$(($(date +%s) + seconds)) "$@" >>"$WORK/log/$name.log" 2>&1 </dev/null &
    PIDS[$name]=$!
}

# Succeeds if the exit status is 0 or 143 (SIGTERM), or if the last line begins with DONE: CUDA may abort at exit.
ended_well() {
    local status=0
    wait "${PIDS[$1]}" || status=$?
    [ $status = 0 ] || [ $status = 143 ] || tail -n 1 "$WORK/log/$1.log" | grep -q '^DONE'
}

# await SECONDS NAME...: waits for steps, and reports the outcome of each.
await() {
    local until name failed=0
    until=$(($(now) + $(least "$1" "$(left)")))
    shift
    for name; do
        if [ -z "${PIDS[$name]:-}" ]; then failed=1; continue; fi
        while running "$name" && [ "$(now)" -lt "$until" ]; do sleep 0.2; done
        if running "$name"; then
            say "$name: late, left alone"
            failed=1
        elif ended_well "$name"; then
            say "$name: done"
        else
            say "$name: FAILED"
            tail -n 12 "$WORK/log/$name.log" | cut -c1-600
            failed=1
        fi
    done
    return $failed
}

# step NAME SECONDS COMMAND...: runs a step and waits for it.
step() { begin "$@" && await $(($2 + GRACE)) "$1"; }

# alone SECONDS: waits until no step and no side (see sides.py) runs; fails if that takes longer.
alone() {
    local until name file busy
    until=$(($(now) + $(least "$1" "$(left)")))
    while :; do
        busy=
        for name in "${!PIDS[@]}"; do if running "$name"; then busy="$busy $name"; fi; done
        for file in "$WORK"/side-*.pid; do
            name=$(basename "$file" .pid)
            if kill -0 "${name#side-}" 2>/dev/null; then busy="$busy $name"; fi
        done
        [ -n "$busy" ] || return 0
        [ "$(now)" -lt "$until" ] || break
        sleep 0.2
    done
    say "still running:$busy"
    return 1
}

# alone_step NAME SECONDS COMMAND...: runs a timing while nothing else runs.
alone_step() {
    alone "$(($2 / 2))" || { say "$1: skipped, because other steps would distort it"; return 1; }
    step "$@"
}

show() { # KIND: prints the results of this kind so far
    grep -h "\"kind\": \"$1\"" "$WORK/results.jsonl" 2>/dev/null | cut -c1-400
}

prepare() {
    local name
    mkdir -p "$WORK/log" "$OUT"
    if on_cuda; then make_toolkit; fi
    make_site
    step facts 30 step_py facts
    if on_cuda; then restore; fi
    step pictures 20 step_py pictures "$WORK/drawn"
    if [ "$STAGE" = main ]; then
        for name in $(jobs_of data); do begin "draw-$name" 120 nice -n 10 "$PY" "$HERE/step.py" draw "$name"; done
    fi
}

contact() {
    local index=0 names=() words=() more=() rest
    make_core
    step convolutions 20 step_py convolutions
    rest=$(least 110 $(($(left) - 50))) # the profile needs the rest
    export use_parallel_op_compiler=5
    while read -ra words; do
        index=$((index + 1))
        names+=("kernels-$index")
        begin "kernels-$index" "$rest" step_py kernels "${words[@]}"
        sleep "$GAP"
    done < <(jobs_of kernels)
    read -ra words < <(jobs_of train)
    read -ra more < <(jobs_of growth)
    names+=(growth)
    begin growth "$rest" "$PY" -m ganzoo train "${words[@]}" "${more[@]}" --device "$GZ_DEVICE" \
        --experiments "$WORK/growth"
    sleep "$GAP"
    while read -ra words; do
        names+=("values-${words[0]}")
        begin "values-${words[0]}" "$rest" step_py values "${words[@]}"
        sleep "$GAP"
    done < <(jobs_of first_values)
    await $((rest + GRACE)) "${names[@]}"
    unset use_parallel_op_compiler
    show values
    alone_step profile 45 step_py profile
    if on_cuda; then GZ_FLAGS=cudnn_search=0 alone_step profile-without-search 15 step_py profile; fi
    alone_step sums 10 step_py sums
    if on_cuda; then say "nvcc: $(sort "$GZ_STORE/hits" | uniq -c | tr '\n' ' ')"; fi
}

main() {
    local rest
    make_core
    rest=$(left)
    comparisons $((rest * 20 / 100))
    alone_step speed $((rest * 37 / 100)) step_py speed
    show speed
    alone_step profile $((rest * 10 / 100)) step_py profile
    train "$(least $((rest * 25 / 100)) $(($(left) - 25)))"
    if [ -n "$(jobs_of amp)" ]; then alone_step amp "$(least $((rest * 15 / 100)) "$(left)")" step_py speed amp amp; fi
    if alone 5; then
        step sums 15 step_py sums
        # Not on the CPU, where this flag's kernels would replace those of other processes.
        if on_cuda; then GZ_FLAGS=para_opt_level=4 step sums-in-shared-memory 15 step_py sums; fi
        step micro 30 step_py micro
    fi
}

# Compares losses with PyTorch's and values with the CPU's, all at once.
comparisons() { # SECONDS
    local ends names=(losses) words=()
    ends=$(($(now) + $1))
    begin losses "$1" step_py losses
    while read -ra words; do
        sleep "$GAP"
        names+=("values-${words[0]}-${words[1]}")
        begin "values-${words[0]}-${words[1]}" $((ends - $(now))) step_py values "${words[@]}"
    done < <(jobs_of values)
    await $((ends - $(now) + GRACE)) "${names[@]}"
    show losses
    show values
}

# Trains one model after the other, because two processes that share a GPU take turns of milliseconds, which small
# kernels can't afford. Sends SIGTERM after SECONDS in all, at which training saves a checkpoint. Exports the networks
# that generate images, and generates some.
train() { # SECONDS
    local jobs=() words=() name each folder seconds until
    mapfile -t jobs < <(jobs_of train)
    seconds=$(($1 / ${#jobs[@]}))
    for each in "${jobs[@]}"; do
        read -ra words <<<"$each"
        name=${words[0]} folder=$WORK/experiments/${words[0]}
        begin "train-$name" "$seconds" "$PY" -m ganzoo train "${words[@]}" --device "$GZ_DEVICE" \
            --experiments "$folder" || return
        until=$(($(now) + seconds))
        while running "train-$name" && [ "$(now)" -lt "$until" ]; do sleep 0.2; done
        if running "train-$name"; then kill -TERM "${PIDS[train-$name]}"; fi
        await 25 "train-$name" || continue
        tail -n 1 "$folder"/*/stats.jsonl | cut -c1-600
        step "export-$name" 30 step_py export "$(echo "$folder"/*/)" "$OUT/$name.safetensors"
    done
    step generate 30 "$PY" -m ganzoo generate --experiments "$WORK/experiments/stylegan" --seeds 0-63 --grid 8x8 \
        --device "$GZ_DEVICE" --out "$WORK/pictures"
}

session() {
    prepare
    "$STAGE"
    alone 1
    pack
}

case "$STAGE:$LIMIT" in
contact:[1-9]* | main:[1-9]*) ;;
*)
    sed -n 's/^# \{0,1\}//; 2,11p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
export GZ_DEVICE=${GZ_DEVICE:-cuda} PYTHONUNBUFFERED=1
if on_cuda && ! gpu_is_here; then
    echo "no GPU was found; GZ_DEVICE=cpu GZ_SMALL=1 rehearses without one" >&2
    exit 2
fi
GZ_ROOT=$(cd "$HERE/../.." && pwd)
WORK=${GZ_WORK:-/tmp/ganzoo-gpu}
OUT=${OUT:-$WORK/out}
GZ_START=$(date +%s)
export GZ_ROOT GZ_START GZ_WORK=$WORK GZ_BUNDLE=${GZ_BUNDLE:-$GZ_ROOT/.gpu} GANZOO_DATA=$WORK/data
mkdir -p "$OUT"
session 2>&1 | tee "$OUT/log.txt"

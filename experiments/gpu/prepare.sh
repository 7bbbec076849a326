#!/usr/bin/env bash
# On the machine without a GPU, from the repository's root: fills the ignored folder .gpu, which is carried to the GPU
# machine beside the repository, and says what both weigh. Takes two minutes, and needs Python 3.12 for its headers.
#
#     bash experiments/gpu/prepare.sh [FOLDER]    FOLDER: where store.tar.xz and core.tar.xz of an earlier session are
#
# The GPU machine is to have Python 3.12, PyTorch, pip, and CUDA with cuDNN, and needs no network.
set -eu
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
GZ_CARRIED=${GZ_CARRIED:-$ROOT/.gpu}
GZ_WORK=$(mktemp -d)
export GZ_CARRIED GZ_WORK GZ_DEVICE=cpu
trap 'rm -rf "$GZ_WORK"' EXIT
PY=${GZ_PYTHON:-$ROOT/.venv/bin/python}
PY312=${GZ_PYTHON312:-python3.12} # of the GPU machine's version
MOST=45000000                     # bytes

wheels() {
    local platforms=() each
    for each in _2_28 _2_17 2014; do platforms+=(--platform "manylinux${each}_x86_64"); done
    "$PY" -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
        "${platforms[@]}" -d "$GZ_CARRIED/wheels" numpy==1.26.4 lmdb astunparse
    "$PY" -m pip wheel --quiet --no-deps -w "$GZ_CARRIED/wheels" jittor==1.3.11.0
}

headers() {
    local include
    include=$("$PY312" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    tar -C "$include" --transform 's|^\.|include|' -cJf "$GZ_CARRIED/include.tar.xz" .
}

weigh() {
    local tracked carried
    tracked=$(cd "$ROOT" && git ls-files -z | xargs -0 du -cb | awk '$2 == "total" {sum += $1} END {print sum}')
    carried=$(du -sb --apparent-size "$GZ_CARRIED" | cut -f1)
    (cd "$GZ_CARRIED" && du -ab . | sort -n | tail -n 12)
    echo "repository $tracked bytes, carried $carried, of $MOST in all"
    [ $((tracked + carried)) -le $MOST ] || { echo "that is too much to carry" >&2; return 1; }
}

mkdir -p "$GZ_CARRIED"
if [ -z "$(find "$GZ_CARRIED" -path '*/wheels/jittor-*.whl')" ]; then wheels; fi
if [ ! -f "$GZ_CARRIED/include.tar.xz" ]; then headers; fi
if [ $# -gt 0 ]; then cp "$1"/{store,core}.tar.xz "$GZ_CARRIED/"; fi
"$PY" "$HERE/step.py" references
weigh

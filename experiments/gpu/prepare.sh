#!/usr/bin/env bash
# Run this on the machine without a GPU, from the root of the repository. It fills the ignored folder .gpu, which is
# copied to the GPU machine with the repository, and prints the sizes of .gpu and of the repository. It takes two
# minutes, and needs Python 3.12's headers.
#
#     bash experiments/gpu/prepare.sh [FOLDER]    FOLDER contains store.tar.xz and core.tar.xz of an earlier session
#
# The GPU machine needs Python 3.12, NumPy, PyTorch, pip, and CUDA with cuDNN, but no network.
set -eu
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
GZ_BUNDLE=${GZ_BUNDLE:-$ROOT/.gpu}
GZ_WORK=$(mktemp -d)
export GZ_BUNDLE GZ_WORK GZ_DEVICE=cpu
trap 'rm -rf "$GZ_WORK"' EXIT
PY=${GZ_PYTHON:-$ROOT/.venv/bin/python}
PY312=${GZ_PYTHON312:-python3.12} # the GPU machine's version
MAX_BYTES=45000000                # limit for the repository and .gpu together

wheels() {
    local platforms=() each
    for each in _2_28 _2_17 2014; do platforms+=(--platform "manylinux${each}_x86_64"); done
    "$PY" -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
        "${platforms[@]}" -d "$GZ_BUNDLE/wheels" lmdb astunparse
    "$PY" -m pip wheel --quiet --no-deps -w "$GZ_BUNDLE/wheels" jittor==1.3.11.0
}

headers() {
    local include
    include=$("$PY312" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    tar -C "$include" --transform 's|^\.|include|' -cJf "$GZ_BUNDLE/include.tar.xz" .
}

check_size() {
    local tracked bundled
    tracked=$(cd "$ROOT" && git ls-files -z | xargs -0 du -cb | awk '$2 == "total" {sum += $1} END {print sum}')
    bundled=$(du -sb --apparent-size "$GZ_BUNDLE" | cut -f1)
    (cd "$GZ_BUNDLE" && du -ab . | sort -n | tail -n 12)
    echo "repository: $tracked bytes, .gpu: $bundled bytes, limit for both: $MAX_BYTES bytes"
    [ $((tracked + bundled)) -le $MAX_BYTES ] || { echo "this is too large" >&2; return 1; }
}

mkdir -p "$GZ_BUNDLE"
if [ -z "$(find "$GZ_BUNDLE" -path '*/wheels/jittor-*.whl')" ]; then wheels; fi
if [ ! -f "$GZ_BUNDLE/include.tar.xz" ]; then headers; fi
if [ $# -gt 0 ]; then cp "$1"/{store,core}.tar.xz "$GZ_BUNDLE/"; fi
"$PY" "$HERE/step.py" references
check_size

# shellcheck shell=bash Functions of kit.sh that prepare the machine and pack the results. They write only below $WORK,
# and to Jittor's cache on a GPU machine.

MAX_FILE_BYTES=15000000 # limit for a file that comes back

gpu_is_here() { command -v nvidia-smi >/dev/null && compgen -G '/dev/nvidia[0-9]*' >/dev/null; }

on_cuda() { [ "$GZ_DEVICE" = cuda ]; }

# Installs packages and entry points, so that `python3 -m ganzoo` works without an installation of ganzoo.
make_site() {
    local site=$WORK/site
    mkdir -p "$site"
    if on_cuda && [ ! -d "$site/jittor" ]; then
        "$PY" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$site" \
            "$GZ_BUNDLE"/wheels/*.whl || say "FAILED to install the wheels"
    fi
    export PYTHONPATH=$site:$GZ_ROOT:$GZ_ROOT/plugins:$GZ_ROOT/datasets${PYTHONPATH:+:$PYTHONPATH}
    step site 30 step_py site "$site"
    on_cuda || return 0
    # Jittor names its cache after the machine; a fixed name lets the next machine use it. Jittor also starts a compiler
    # per 3 GB of memory, and a virtual machine may report little memory until it uses more.
    cat >"$site/sitecustomize.py" <<'P'
import os
import platform

platform.node = lambda: "gpu-machine"
platform.platform = lambda *arguments, **named: "gpu-machine"
_sysconf = os.sysconf
os.sysconf = lambda name: max(_sysconf(name), (64 << 30) // 4096) if name == "SC_PHYS_PAGES" else _sysconf(name)
P
    # Jittor imports this package, but needs nothing of it on a GPU.
    mkdir -p "$site/jittor_offline" && touch "$site/jittor_offline/__init__.py"
    "$PY" - <<'P' || export python_config_path=$site/python-config
import os, sys, sysconfig

name = f"python{sys.version_info[0]}.{sys.version_info[1]}-config"
places = (os.path.dirname(sys.executable), "/usr/bin", "/usr/local/bin", os.path.join(sys.base_prefix, "bin"))
found = any(os.path.exists(os.path.join(place, name)) for place in places)
sys.exit(not (found and os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))))
P
}

# Makes a toolkit folder with the caching nvcc; everything else in it links to the real toolkit.
make_toolkit() {
    local real='' top each
    for each in /usr/local/cuda/bin/nvcc /usr/local/cuda-*/bin/nvcc /opt/cuda/bin/nvcc; do
        if [ -z "$real" ] && [ -x "$each" ]; then real=$(readlink -f "$each"); fi
    done
    [ -n "$real" ] || { say "no nvcc in the usual places; ganzoo will look for one"; return; }
    top=${real%/bin/nvcc}
    rm -rf "$WORK/cuda" && mkdir -p "$WORK/cuda/bin"
    for each in include lib64 lib targets nvvm; do
        if [ -e "$top/$each" ]; then ln -s "$top/$each" "$WORK/cuda/$each"; fi
    done
    sed "s|@REAL@|$real|; s|@CUDNN@|$GZ_ROOT/ganzoo/backend/cuda/include/cudnn.h|" "$HERE/nvcc.in" >"$WORK/cuda/bin/nvcc" && chmod +x "$WORK/cuda/bin/nvcc"
    export CUDA_HOME=$WORK/cuda GZ_STORE=$WORK/store
}

# Unpacks what an earlier machine of this kind has compiled.
restore() {
    local cache=$HOME/.cache/jittor
    if [ -f "$GZ_BUNDLE/store.tar.xz" ]; then
        tar -xJf "$GZ_BUNDLE/store.tar.xz" -C "$WORK"
        say "restored kernels: $(find "$WORK/store" -name '*.bin' | wc -l)"
    fi
    if [ -f "$GZ_BUNDLE/core.tar.xz" ] && [ ! -d "$cache" ]; then
        tar -xJf "$GZ_BUNDLE/core.tar.xz" -C "$HOME" && RESTORED=$cache && say "restored Jittor's core"
    fi
}

# Restores or builds Jittor's core, and lets several processes compile at the same time.
make_core() {
    step core 150 step_py core && link_core && return
    running core && return 1
    say "trying the core again"
    # What was restored may be what fails: it is moved away, and built again.
    if [ -n "${RESTORED:-}" ]; then mv "$RESTORED" "$WORK/core-that-failed"; fi
    if [ -d "$WORK/store" ]; then mv "$WORK/store" "$WORK/store-that-failed"; fi
    step core 150 step_py core && link_core
}

link_core() {
    on_cuda || return 0
    local cache
    cache=$(cat "$WORK/cache-path")
    # GZ_UNLOCK sets Jittor's flag disable_lock after the import. The environment variable disable_lock would also let
    # imports overwrite each other's sources.
    export GZ_UNLOCK=1 rewrite_op=0
    # Kernels linked on another machine find Jittor's libraries here.
    mkdir -p "$WORK/lib"
    find "$cache" "$(dirname "$cache")" -maxdepth 2 -name '*.so' -not -path '*/jit/*' -exec ln -sf {} "$WORK/lib/" \;
    export LD_LIBRARY_PATH=$WORK/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}

# Packs at most eight files of 16 MB each, including log.txt.
pack() {
    local file
    cp "$WORK/results.jsonl" "$WORK/log/" 2>/dev/null
    tar -C "$WORK" -cJf "$OUT/logs.tar.xz" log
    if on_cuda; then tar -C "$WORK" -c store | xz -T0 -2 >"$OUT/store.tar.xz"; fi
    if on_cuda && [ "$STAGE" = contact ]; then
        tar -C "$HOME" --exclude='*/jit/*' --exclude='*/mkl/*' -c .cache/jittor | xz -T0 -2 >"$OUT/core.tar.xz"
    fi
    if [ -d "$WORK/experiments" ]; then
        tar -C "$WORK/experiments" --exclude='*.safetensors' -cJf "$OUT/runs.tar.xz" .
        if [ -f "$WORK/pictures/grid.png" ]; then cp "$WORK/pictures/grid.png" "$OUT/samples.png"; fi
    fi
    for file in "$OUT"/*; do
        [ "$(stat -c %s "$file")" -gt "$MAX_FILE_BYTES" ] || continue
        say "$(basename "$file") is too large, and left out"
        rm "$file"
    done
    say "results: $(cd "$OUT" && du -b -- * | awk '{printf "%s %.1f MB, ", $2, $1 / 1e6}')"
}

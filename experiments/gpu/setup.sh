# shellcheck shell=bash
# Functions of kit.sh: the machine made ready, and what comes back from it. All that they write is under $WORK, but for
# Jittor's cache on a GPU machine.

PART=15000000 # bytes of a file that comes back, at most

gpu_is_here() { command -v nvidia-smi >/dev/null && compgen -G '/dev/nvidia[0-9]*' >/dev/null; }

on_cuda() { [ "$GZ_DEVICE" = cuda ]; }

# Packages, entry points, and an environment in which `python3 -m ganzoo` works without an installation.
make_site() {
    local site=$WORK/site
    mkdir -p "$site"
    if on_cuda && [ ! -d "$site/jittor" ]; then
        "$PY" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$site" \
            "$GZ_CARRIED"/wheels/*.whl || say "THE WHEELS CAN'T BE INSTALLED"
    fi
    export PYTHONPATH=$site:$GZ_ROOT:$GZ_ROOT/plugins:$GZ_ROOT/datasets${PYTHONPATH:+:$PYTHONPATH}
    step site 30 step_py site "$site"
    on_cuda || return 0
    # Jittor's cache is named after the machine: under one name it can be carried to the next one. And Jittor starts a
    # compiler for every 3 GB of memory, of which a virtual machine may show little until it is used.
    cat >"$site/sitecustomize.py" <<'P'
import os
import platform

platform.node = lambda: "gpu-machine"
platform.platform = lambda *arguments, **named: "gpu-machine"
_sysconf = os.sysconf
os.sysconf = lambda name: max(_sysconf(name), (64 << 30) // 4096) if name == "SC_PHYS_PAGES" else _sysconf(name)
P
    # Jittor asks for this package, of which nothing is needed on a GPU.
    mkdir -p "$site/jittor_offline" && touch "$site/jittor_offline/__init__.py"
    "$PY" - <<'P' || export python_config_path=$site/python-config
import os, sys, sysconfig

name = f"python{sys.version_info[0]}.{sys.version_info[1]}-config"
places = (os.path.dirname(sys.executable), "/usr/bin", "/usr/local/bin", os.path.join(sys.base_prefix, "bin"))
found = any(os.path.exists(os.path.join(place, name)) for place in places)
sys.exit(not (found and os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))))
P
}

# A toolkit folder whose nvcc keeps what it compiles; all else are links to the real one.
make_toolkit() {
    local real='' top each
    for each in /usr/local/cuda/bin/nvcc /usr/local/cuda-*/bin/nvcc /opt/cuda/bin/nvcc; do
        if [ -z "$real" ] && [ -x "$each" ]; then real=$(readlink -f "$each"); fi
    done
    [ -n "$real" ] || { say "no nvcc in the usual places: ganzoo looks for one"; return; }
    top=${real%/bin/nvcc}
    rm -rf "$WORK/cuda" && mkdir -p "$WORK/cuda/bin"
    for each in include lib64 lib targets nvvm; do
        if [ -e "$top/$each" ]; then ln -s "$top/$each" "$WORK/cuda/$each"; fi
    done
    sed "s|@REAL@|$real|" "$HERE/nvcc.in" >"$WORK/cuda/bin/nvcc" && chmod +x "$WORK/cuda/bin/nvcc"
    export CUDA_HOME=$WORK/cuda GZ_STORE=$WORK/store
}

# What an earlier machine of this kind has compiled.
restore() {
    local cache=$HOME/.cache/jittor
    if [ -f "$GZ_CARRIED/store.tar.xz" ]; then
        tar -xJf "$GZ_CARRIED/store.tar.xz" -C "$WORK"
        say "kernels carried: $(find "$WORK/store" -name '*.bin' | wc -l)"
    fi
    if [ -f "$GZ_CARRIED/core.tar.xz" ] && [ ! -d "$cache" ]; then
        tar -xJf "$GZ_CARRIED/core.tar.xz" -C "$HOME" && RESTORED=$cache && say "core carried"
    fi
}

# Jittor's core, carried or built; then what lets several processes compile beside each other.
make_core() {
    step core 150 step_py core && link_core && return
    running core && return 1
    say "the core once more"
    # A carried core that fails is moved away, and built here.
    if [ -n "${RESTORED:-}" ]; then mv "$RESTORED" "$WORK/core-that-failed"; fi
    step core 150 step_py core && link_core
}

link_core() {
    on_cuda || return 0
    local cache
    cache=$(cat "$WORK/cache-path")
    # The variable disable_lock would also let imports overwrite each other's sources; GZ_UNLOCK sets the flag later.
    export GZ_UNLOCK=1 rewrite_op=0
    # Kernels that were linked on another machine find Jittor's libraries here.
    mkdir -p "$WORK/lib"
    find "$cache" "$(dirname "$cache")" -maxdepth 2 -name '*.so' -not -path '*/jit/*' -exec ln -sf {} "$WORK/lib/" \;
    export LD_LIBRARY_PATH=$WORK/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}

# At most eight files, of 16 MB each: log.txt is the first of them.
pack() {
    local run checkpoint file
    cp "$WORK/results.jsonl" "$WORK/log/" 2>/dev/null
    tar -C "$WORK" -cJf "$OUT/logs.tar.xz" log
    if on_cuda; then tar -C "$WORK" -c store | xz -T0 -2 >"$OUT/store.tar.xz"; fi
    if on_cuda && [ "$STAGE" = contact ]; then
        tar -C "$HOME" --exclude='*/jit/*' --exclude='*/mkl/*' -c .cache/jittor | xz -T0 -2 >"$OUT/core.tar.xz"
    fi
    run=$(find "$WORK/experiments" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | sort | tail -n 1)
    if [ -n "$run" ]; then
        tar -C "$run" --exclude='*.safetensors' -cJf "$OUT/run.tar.xz" .
        if [ -f "$WORK/pictures/grid.png" ]; then cp "$WORK/pictures/grid.png" "$OUT/samples.png"; fi
        # The newest checkpoint in parts: cat checkpoint.? >NAME.safetensors
        checkpoint=$(find "$run" -name '*.safetensors' | sort | tail -n 1)
        if [ -n "$checkpoint" ] && [ "$(stat -c %s "$checkpoint")" -le $((3 * PART)) ]; then
            split --bytes="$PART" --numeric-suffixes --suffix-length=1 "$checkpoint" "$OUT/checkpoint."
        elif [ -n "$checkpoint" ]; then
            say "the checkpoint is too large to come back"
        fi
    fi
    for file in "$OUT"/*; do
        [ "$(stat -c %s "$file")" -gt "$PART" ] || continue
        say "$(basename "$file") is too large, and left out"
        rm "$file"
    done
    say "back: $(cd "$OUT" && du -b -- * | awk '{printf "%s %.1f MB, ", $2, $1 / 1e6}')"
}

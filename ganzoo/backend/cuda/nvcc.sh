#!/bin/sh
# Jittor calls nvcc for C++14, but the headers of CUDA 13 need C++17. PTX is included, which the driver can compile for
# GPUs newer than those that Jittor supports. A Ctrl-C reaches every process of the terminal, so the compiler ignores
# the signals that Jittor's process handles.
[ -z "$GANZOO_IGNORED_SIGNALS" ] || trap "" $GANZOO_IGNORED_SIGNALS
for argument; do
    shift
    case "$argument" in
        -std=c++14) argument=-std=c++17 ;;
        -code=sm_90) argument=-code=sm_90,compute_90 ;;
    esac
    set -- "$@" "$argument"
done

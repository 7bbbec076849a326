#!/bin/sh
# Jittor calls nvcc for C++14, but the headers of CUDA 13 need C++17. For GPUs newer than Jittor knows, PTX is included,
# which their driver can compile. A Ctrl-C reaches every process of a terminal: the compiler ignores the signals that
# Jittor's process survives.
[ -z "$GANZOO_SURVIVED" ] || trap "" $GANZOO_SURVIVED
for argument; do
    shift
    case "$argument" in
        -std=c++14) argument=-std=c++17 ;;
        -code=sm_90) argument=-code=sm_90,compute_90 ;;
    esac
    set -- "$@" "$argument"
done

#!/bin/sh
# Jittor calls nvcc for C++14, and the headers of CUDA 13 want C++17. GPUs newer than Jittor knows get code that
# their driver can translate. A Ctrl-C reaches every process of a terminal: the compiler takes no signal that Jittor's
# process survives.
[ -z "$GANZOO_SURVIVED" ] || trap "" $GANZOO_SURVIVED
for argument; do
    shift
    case "$argument" in
        -std=c++14) argument=-std=c++17 ;;
        -code=sm_90) argument=-code=sm_90,compute_90 ;;
    esac
    set -- "$@" "$argument"
done

#!/bin/sh
# Jittor calls nvcc for C++14, and the headers of CUDA 13 want C++17. GPUs newer than Jittor knows get code that
# their driver can translate.
for argument; do
    shift
    case "$argument" in
        -std=c++14) argument=-std=c++17 ;;
        -code=sm_90) argument=-code=sm_90,compute_90 ;;
    esac
    set -- "$@" "$argument"
done

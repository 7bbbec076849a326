// Memory for intermediate results of an operation.
#pragma once

#include <cstddef>
#include <cstdint>

#include "executor.h"
#include "mem/allocator.h"

namespace ganzoo {

// Memory that Jittor lends, which may begin at multiples of 32 bytes. oneDNN's store instructions need multiples of 64.
class Temporary {
   public:
    explicit Temporary(size_t bytes) : size(bytes + ALIGNMENT) {
        given = (char*)jittor::exe.temp_allocator->alloc(size, allocation);
        start = given + (ALIGNMENT - (uintptr_t)given % ALIGNMENT) % ALIGNMENT;
    }
    ~Temporary() { jittor::exe.temp_allocator->free(given, size, allocation); }
    Temporary(const Temporary&) = delete;

    char* start;

   private:
    static const size_t ALIGNMENT = 64;  // bytes
    size_t size, allocation;
    char* given;
};

}  // namespace ganzoo

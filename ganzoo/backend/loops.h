// Threads for the kernels that Jittor fuses, which it writes as loops for one thread.
#pragma once

#include <string>

namespace ganzoo {

// The source of a kernel with its loops divided among threads, wherever that changes no result: each element of an
// output is written by one thread only, and from the same numbers in the same order as before. Anything that is not
// understood stays as it was. Marks for Jittor's assembler pass are taken away: it would have stores pass the caches by,
// where the next kernel looks for what was stored.
std::string divided_among_threads(const std::string& source);

}  // namespace ganzoo

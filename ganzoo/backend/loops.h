// Multithreading for Jittor's fused kernels, which it writes as loops for one thread.
#pragma once

#include <string>

namespace ganzoo {

// Returns the source of a kernel with its loops divided among threads, wherever this changes no result: each element of
// an output is written by one thread only, and from the same numbers in the same order as before. Code of unknown form
// stays unchanged. Marks for Jittor's assembly pass are removed: the pass would make stores bypass the caches, although
// the next kernel reads what was stored.
std::string parallelise(const std::string& source);

}  // namespace ganzoo

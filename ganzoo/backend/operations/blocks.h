// Work on many arrays at once, divided among threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace ganzoo {

const int64_t BLOCK = 16384;                   // elements per task, independent of the number of threads
const int64_t PARALLEL_THRESHOLD = 8 * BLOCK;  // fewest elements for which waking threads is worthwhile

// Calls work(array, begin, end) for blocks [begin, end) of elements, which together cover each array exactly once.
template <class Work>
void in_blocks(const std::vector<int64_t>& sizes, Work work) {
    std::vector<std::pair<int, int64_t>> blocks;
    int64_t total = 0;
    for (size_t array = 0; array < sizes.size(); array++) {
        total += sizes[array];
        for (int64_t from = 0; from < sizes[array]; from += BLOCK) blocks.push_back({(int)array, from});
    }
    #pragma omp parallel for if(total >= PARALLEL_THRESHOLD)
    for (size_t index = 0; index < blocks.size(); index++) {
        const auto& block = blocks[index];
        work(block.first, block.second, std::min(sizes[block.first], block.second + BLOCK));
    }
}

}  // namespace ganzoo

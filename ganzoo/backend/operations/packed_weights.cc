#include "packed_weights.h"

#include <cstdlib>
#include <list>
#include <map>
#include <mutex>
#include <new>

namespace ganzoo {

// Maximum number of bytes in the cache. With more, training would need more memory than in float32.
static const size_t CAPACITY = 32 << 20;
static const size_t ALIGNMENT = 64;  // bytes

struct Entry {
    WeightsKey key;
    Buffer buffer;
    size_t size;
};

Buffer packed_weights(const WeightsKey& key, size_t size, const Conversion& conversion, const float* weights) {
    static std::mutex lock;
    static std::list<Entry> entries;  // the most recently used first
    static std::map<WeightsKey, std::list<Entry>::iterator> known;
    static size_t total = 0;
    std::lock_guard<std::mutex> guard(lock);
    auto found = known.find(key);
    if (found != known.end()) {
        entries.splice(entries.begin(), entries, found->second);
        return found->second->buffer;
    }
    while (!entries.empty() && total + size > CAPACITY) {
        total -= entries.back().size;
        known.erase(entries.back().key);
        entries.pop_back();
    }
    void* memory;
    if (posix_memalign(&memory, ALIGNMENT, size) != 0) throw std::bad_alloc();
    Buffer buffer((char*)memory, std::free);
    conversion(weights, memory);
    if (size > CAPACITY) return buffer;
    entries.push_front({key, buffer, size});
    known[key] = entries.begin();
    total += size;
    return buffer;
}

}  // namespace ganzoo

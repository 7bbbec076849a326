// Patches for faults of Jittor, without changing its files.
//
// Jittor compiles kernels in several threads, and each thread optimises before it calls the compiler. For matrix
// products and convolutions, optimising adds nodes to the graph, using lists and a work queue that all threads share
// without a lock: now and then the process crashes. Here one thread at a time optimises (milliseconds), and all threads
// call the compiler (seconds).
//
// Jittor's fused kernels run on one thread. Here their loops run in parallel: see loops.h.
//
// Now and then Jittor does not recognise a convolution and computes it by plain loops, a hundred times slower. Here
// such kernels are counted.
//
// Jittor compiles all kernels that it needs in one call, which may take minutes. Here no further compiler is started
// after a signal has arrived, unless the caller requests compilation to the end.
//
// A process that precompiles kernels for another would hold the lock on Jittor's kernel cache until it has compiled all
// of them. Here it can let other processes go first before each kernel.
//
// Jittor does not check whether the memory for an array could be allocated, and crashes when it writes to the array.
// Here a failed allocation is an error. Arrays are also aligned to 64 bytes, on which oneDNN's kernels may rely, rather
// than to 32.
//
// Jittor places arrays side by side. A kernel checks whether the arrays that it reads and writes overlap, mistakes
// adjacent arrays for overlapping ones, and then computes one element at a time instead of vectors, with different
// rounding: the same computation gave different bits from run to run. Here there is a gap between arrays.
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <stdexcept>
#include <typeinfo>

#include "fused_op.h"
#include "lock.h"
#include "loops.h"
#include "mem/allocator/aligned_allocator.h"
#include "mem/allocator/sfrl_allocator.h"
#include "op.h"
#include "op_compiler.h"
#include "ops/op_register.h"
#include "opt/tuner_manager.h"

namespace jittor {

extern jit_op_entry_t (*do_compile_hook)(Op*);

static std::mutex optimising;

static std::atomic<int> unrecognised_convolutions;

// Whether an operation multiplies images by weights element by element, in seven or more dimensions: a convolution that
// no tuner has replaced.
static bool is_unrecognised_convolution(FusedOp* fused) {
    for (auto& choice : *fused->loop_options)
        if (choice.first.compare(0, 5, "relay") == 0 && choice.second) return false;
    for (Op* op : fused->ops)
        if (op->name_ex() == "binary.multiply" && op->output(0)->shape.size() >= 7) return true;
    return false;
}

// The socket from which the numbers of signals can be read (-1: none), and whether to compile all kernels in spite of
// signals.
static std::atomic<int> arrivals{-1};
static std::atomic<bool> to_the_end;

static void stop_if_a_signal_came() {
    char numbers[64];
    ssize_t count = to_the_end ? 0 : recv(arrivals, numbers, sizeof numbers, MSG_PEEK | MSG_DONTWAIT);
    for (ssize_t at = 0; at < count; at++)
        for (int each : {SIGINT, SIGTERM, SIGHUP, SIGUSR1})
            if (numbers[at] == each) throw std::runtime_error("ganzoo: interrupted");
}

// Whether other processes that wait for the lock on Jittor's kernel cache go first.
static bool others_go_first;

static void let_others_go() {
    unlock();
    usleep(20000);  // longer than a process takes to wake up
    lock();
}

static jit_op_entry_t compile_in_turn(Op* op) {
    stop_if_a_signal_came();
    if (others_go_first) let_others_go();
    std::unique_lock<std::mutex> turn(optimising);
    OpCompiler compiler(op);
    for (auto type : op_types) type->post_pass(&compiler);
    string source = compiler.op ? TunerManager(&compiler).tune() : compiler.src;
    if (compiler.op && is_unrecognised_convolution(compiler.op)) unrecognised_convolutions++;
    op->compile_optimize(source);
    string key = op->get_jit_key(get_jk());  // only now, because optimising changes it
    turn.unlock();
    if (!op->flags.get(NodeFlags::_cuda)) source = ganzoo::parallelise(source);
    return compiler.compile(key, source);
}

struct CheckedAllocator : AlignedAllocator {
    void* alloc(size_t size, size_t& allocation) override {
        void* memory = aligned_alloc(64, (size + 63) / 64 * 64);
        if (!memory && size)
            throw std::runtime_error("ganzoo: can't allocate " + std::to_string(size) + " bytes");
        return memory;
    }
};

struct SpacedAllocator : SFRLAllocator {
    void* alloc(size_t size, size_t& allocation) override { return SFRLAllocator::alloc(size + 64, allocation); }
};

// Other code holds the allocator's address, and some of its memory may be in use already: keep the object and its
// members, and replace only its vtable pointer.
static void space_arrays() {
    if (typeid(*cpu_allocator) != typeid(SFRLAllocator)) return;
    SpacedAllocator spaced;
    std::memcpy((void*)cpu_allocator, (void*)&spaced, sizeof(void*));
}

}  // namespace jittor

extern "C" void ganzoo_patch() {
    jittor::do_compile_hook = jittor::compile_in_turn;
    // The allocator has no members, and other code holds its address: construct the new allocator in its place.
    new (&jittor::aligned_allocator) jittor::CheckedAllocator;
    jittor::space_arrays();
}

extern "C" void ganzoo_stop_compiling(int descriptor) { jittor::arrivals = descriptor; }

extern "C" void ganzoo_let_others_go_first() { jittor::others_go_first = true; }

extern "C" int ganzoo_compile_to_the_end(int wanted) { return jittor::to_the_end.exchange(wanted); }

extern "C" int ganzoo_unrecognised_convolutions() { return jittor::unrecognised_convolutions; }

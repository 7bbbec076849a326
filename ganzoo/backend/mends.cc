// Faults of Jittor, mended from outside.
//
// It compiles kernels in several threads, and before it calls the compiler each thread optimises. For matrix products
// and convolutions that adds nodes to the graph, with lists and a work queue that all threads share and nothing
// guards: now and then the process dies. Here one thread at a time optimises (milliseconds), and all call the
// compiler (seconds).
//
// Its fused kernels run on one thread: see loops.h.
//
// Now and then it does not recognise a convolution, and computes it by plain loops, a hundred times slower. Here those
// are counted.
//
// It compiles all kernels that it needs in one call, which may take minutes. Here no further compiler is started once a
// signal came, unless that is told otherwise.
//
// A process that works ahead for another holds the lock on kernels until all that it needs are compiled. Here it lets
// others have it before each.
//
// It takes no notice when the system has no memory for an array, and dies when it writes there. Here that is an error.
// And arrays begin at multiples of 64 bytes, as oneDNN's kernels may rely on, not of 32.
//
// It puts arrays side by side. A kernel asks whether the arrays that it reads and writes overlap, takes neighbours for
// such, and then computes number by number what it computes in vectors elsewhere, with other roundings: the same
// computation gave other bits from one time to the next. Here there is room between arrays.
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

// A product of seven or more dimensions, as of images and weights in every position of a kernel, for which no tuner has
// found a better way.
static bool is_unrecognised_convolution(FusedOp* fused) {
    for (auto& choice : *fused->loop_options)
        if (choice.first.compare(0, 5, "relay") == 0 && choice.second) return false;
    for (Op* op : fused->ops)
        if (op->name_ex() == "binary.multiply" && op->output(0)->shape.size() >= 7) return true;
    return false;
}

// The socket at which the numbers of signals arrive (-1: nowhere), and whether kernels are compiled to the end all the
// same.
static std::atomic<int> arrivals{-1};
static std::atomic<bool> to_the_end;

static void stop_if_a_signal_came() {
    char numbers[64];
    ssize_t count = to_the_end ? 0 : recv(arrivals, numbers, sizeof numbers, MSG_PEEK | MSG_DONTWAIT);
    for (ssize_t at = 0; at < count; at++)
        for (int each : {SIGINT, SIGTERM, SIGHUP, SIGUSR1})
            if (numbers[at] == each) throw std::runtime_error("ganzoo: interrupted");
}

// Whether other processes that wait for the lock on kernels compile theirs first.
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
    string key = op->get_jit_key(get_jk());  // only now: optimising changes it
    turn.unlock();
    if (!op->flags.get(NodeFlags::_cuda)) source = ganzoo::divided_among_threads(source);
    return compiler.compile(key, source);
}

struct CheckedAllocator : AlignedAllocator {
    void* alloc(size_t size, size_t& allocation) override {
        void* memory = aligned_alloc(64, (size + 63) / 64 * 64);
        if (!memory && size)
            throw std::runtime_error("ganzoo: no memory for " + std::to_string(size) + " bytes");
        return memory;
    }
};

struct SpacedAllocator : SFRLAllocator {
    void* alloc(size_t size, size_t& allocation) override { return SFRLAllocator::alloc(size + 64, allocation); }
};

// Everybody holds the allocator's address, and it may have lent memory already: it keeps its members, and takes the
// functions of its new kind.
static void space_arrays() {
    if (typeid(*cpu_allocator) != typeid(SFRLAllocator)) return;
    SpacedAllocator spaced;
    std::memcpy((void*)cpu_allocator, (void*)&spaced, sizeof(void*));
}

}  // namespace jittor

extern "C" void ganzoo_mend() {
    jittor::do_compile_hook = jittor::compile_in_turn;
    // The allocator has no members, and everybody holds its address: another of its kind takes its place.
    new (&jittor::aligned_allocator) jittor::CheckedAllocator;
    jittor::space_arrays();
}

extern "C" void ganzoo_stop_compiling(int descriptor) { jittor::arrivals = descriptor; }

extern "C" void ganzoo_let_others_go_first() { jittor::others_go_first = true; }

extern "C" int ganzoo_compile_to_the_end(int wanted) { return jittor::to_the_end.exchange(wanted); }

extern "C" int ganzoo_unrecognised_convolutions() { return jittor::unrecognised_convolutions; }

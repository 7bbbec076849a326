// A library to preload: it makes a processor with AVX512_BF16 act like one that also has AMX, slowly. Invalid
// instructions end in a signal, whose handler computes what AMX would. In the copy of oneDNN that __main__.py makes,
// instructions that ask the processor for its features are invalid too, and answered here.
// See the chapter on AMX in Intel's Architecture Instruction Set Extensions Programming Reference.

#define _GNU_SOURCE
#include <cpuid.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <immintrin.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64 };

// The tiles of a thread. All are zero after TILERELEASE.
static __thread struct {
    uint8_t palette, start_row;
    uint16_t row_bytes[16];
    uint8_t rows[16];
    uint8_t data[TILES][ROWS][ROW_BYTES] __attribute__((aligned(64)));
} tiles __attribute__((aligned(64)));

static void load_configuration(const uint8_t* memory) {
    memset(&tiles, 0, sizeof tiles);
    if (memory[0] == 0) return;
    tiles.palette = memory[0];
    tiles.start_row = memory[1];
    memcpy(tiles.row_bytes, memory + 16, sizeof tiles.row_bytes);
    memcpy(tiles.rows, memory + 48, sizeof tiles.rows);
}

static void store_configuration(uint8_t* memory) {
    memset(memory, 0, 64);
    memory[0] = tiles.palette;
    memory[1] = tiles.start_row;
    memcpy(memory + 16, tiles.row_bytes, sizeof tiles.row_bytes);
    memcpy(memory + 48, tiles.rows, sizeof tiles.rows);
}

static void load_tile(int tile, const uint8_t* from, int64_t stride) {
    memset(tiles.data[tile], 0, sizeof tiles.data[tile]);
    for (int row = 0; row < tiles.rows[tile]; row++)
        memcpy(tiles.data[tile][row], from + row * stride, tiles.row_bytes[tile]);
}

static void store_tile(int tile, uint8_t* to, int64_t stride) {
    for (int row = 0; row < tiles.rows[tile]; row++)
        memcpy(to + row * stride, tiles.data[tile][row], tiles.row_bytes[tile]);
}

// TDPBF16PS: adds the product of two tiles of bfloat16, the second of which has pairs of rows side by side, to a tile
// of float32.
static void add_product(int sum, int left, int right) {
    const __mmask16 columns = (1u << tiles.row_bytes[sum] / 4) - 1;
    for (int row = 0; row < tiles.rows[sum]; row++) {
        const int32_t* pairs = (const int32_t*)tiles.data[left][row];
        __m512 result = _mm512_load_ps(tiles.data[sum][row]);
        for (int k = 0; k < tiles.row_bytes[left] / 4; k++)
            result = _mm512_dpbf16_ps(result, (__m512bh)_mm512_set1_epi32(pairs[k]),
                                      (__m512bh)_mm512_load_si512(tiles.data[right][k]));
        _mm512_store_ps(tiles.data[sum][row], _mm512_maskz_mov_ps(columns, result));
    }
}

static greg_t* register_of(greg_t* registers, int number) {
    static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    return &registers[order[number]];
}

// Executes the instruction of AMX at `code`, whose VEX prefix has three bytes. Returns its length, or 0 if it is none.
static int execute(const uint8_t* code, greg_t* registers) {
    enum { NO_PREFIX, PREFIX_66, PREFIX_F3, PREFIX_F2 };
    const int index_high = !(code[1] & 0x40) * 8, base_high = !(code[1] & 0x20) * 8;
    const int prefix = code[2] & 3, operation = code[3], mod = code[4] >> 6, low = code[4] & 7;
    const int tile = code[4] >> 3 & 7, source = ~code[2] >> 3 & 7;
    if (code[0] != 0xc4 || (code[1] & 0x1f) != 2 || (code[2] & 0x84) != 0) return 0;
    if (mod == 3) {
        if (operation == 0x5c && prefix == PREFIX_F3) add_product(tile, low, source);
        else if (operation == 0x49 && prefix == PREFIX_F2) memset(tiles.data[tile], 0, sizeof tiles.data[tile]);
        else if (operation == 0x49 && prefix == NO_PREFIX) memset(&tiles, 0, sizeof tiles);
        else return 0;
        return 5;
    }
    int length = 5;
    int64_t address = 0, stride = 0;
    int32_t displacement = 0;
    if (low == 4) {
        const int sib = code[length++], index = (sib >> 3 & 7) + index_high;
        if (index != 4) stride = *register_of(registers, index) << (sib >> 6);
        if ((sib & 7) == 5 && mod == 0) memcpy(&displacement, code + length, 4), length += 4;
        else address = *register_of(registers, (sib & 7) + base_high);
    } else {
        if (mod == 0 && low == 5) return 0;  // relative to the instruction: oneDNN generates none
        address = *register_of(registers, low + base_high);
    }
    if (mod == 1) displacement = (int8_t)code[length++];
    if (mod == 2) memcpy(&displacement, code + length, 4), length += 4;
    uint8_t* const memory = (uint8_t*)(address + displacement);
    if (operation == 0x49 && prefix == NO_PREFIX) load_configuration(memory + stride);
    else if (operation == 0x49 && prefix == PREFIX_66) store_configuration(memory + stride);
    else if (operation == 0x4b && (prefix == PREFIX_F2 || prefix == PREFIX_66)) load_tile(tile, memory, stride);
    else if (operation == 0x4b && prefix == PREFIX_F3) store_tile(tile, memory, stride);
    else return 0;
    return length;
}

// Answers CPUID as a processor of Intel with AMX does. oneDNN asks for caches only if Intel made the processor.
static void answer_cpuid(greg_t* registers) {
    const uint32_t leaf = registers[REG_RAX], part = registers[REG_RCX];
    uint32_t a, b, c, d;
    __cpuid_count(leaf, part, a, b, c, d);
    if (leaf == 0) a = 0x1e, b = 0x756e6547, d = 0x49656e69, c = 0x6c65746e;  // GenuineIntel
    if (leaf == 4) {
        static const struct { uint32_t type, level, ways, sets; } caches[4] = {
            {1, 1, 12, 64}, {2, 1, 8, 64}, {3, 2, 16, 2048}, {3, 3, 15, 114688}};
        a = b = c = d = 0;
        if (part < 4) {
            a = caches[part].type | caches[part].level << 5 | 1 << 8;
            b = (caches[part].ways - 1) << 22 | 63;
            c = caches[part].sets - 1;
        }
    }
    if (leaf == 7 && part == 0) d |= 1u << 22 | 1u << 24;  // amx_bf16, amx_tile
    if (leaf == 0x1d) {
        a = part == 0 ? 1 : part == 1 ? 1024u << 16 | 8192 : 0;
        b = part == 1 ? TILES << 16 | ROW_BYTES : 0;
        c = part == 1 ? ROWS : 0;
        d = 0;
    }
    if (leaf == 0x1e) a = c = d = 0, b = part == 0 ? ROW_BYTES << 8 | ROWS : 0;
    registers[REG_RAX] = a, registers[REG_RBX] = b, registers[REG_RCX] = c, registers[REG_RDX] = d;
}

static void answer_xgetbv(greg_t* registers) {
    uint32_t a, d;
    __asm__("xgetbv" : "=a"(a), "=d"(d) : "c"((uint32_t)registers[REG_RCX]));
    registers[REG_RAX] = a | 3 << 17;  // Linux saves the tiles
    registers[REG_RDX] = d;
}

static void on_invalid_instruction(int number, siginfo_t* information, void* context) {
    greg_t* const registers = ((ucontext_t*)context)->uc_mcontext.gregs;
    const uint8_t* code = (const uint8_t*)registers[REG_RIP];
    if (code[0] == 0x0f && code[1] == 0x0b) {  // see INVALID_CPUID and INVALID_XGETBV in __main__.py
        const int is_xgetbv = code[2] == 0x90;
        if (is_xgetbv) answer_xgetbv(registers);
        else answer_cpuid(registers);
        registers[REG_RIP] += is_xgetbv ? 3 : 2;
        return;
    }
    int length = execute(code, registers);
    if (length == 0) abort();
    // A signal takes microseconds, so the instructions that follow are executed at once.
    for (; length; length = execute(code, registers)) code += length;
    registers[REG_RIP] = (greg_t)code;
}

// Linux's system call, which glibc's function hides.
static int set_action(int number, const struct sigaction* action, struct sigaction* previous) {
    struct { void* handler; unsigned long flags; void (*restorer)(void); uint64_t mask; } given, found;
    extern void emulator_return(void);
    if (action) {
        given.handler = (void*)action->sa_sigaction;
        given.flags = (unsigned)action->sa_flags | 0x04000000;  // SA_RESTORER
        given.restorer = emulator_return;
        memcpy(&given.mask, &action->sa_mask, sizeof given.mask);
    }
    if (syscall(SYS_rt_sigaction, number, action ? &given : NULL, previous ? &found : NULL, 8L) != 0) return -1;
    if (previous) {
        memset(previous, 0, sizeof *previous);
        previous->sa_sigaction = found.handler;
        previous->sa_flags = found.flags & ~0x04000000ul;
        memcpy(&previous->sa_mask, &found.mask, sizeof found.mask);
    }
    return 0;
}
__asm__(".text\n.globl emulator_return\n.hidden emulator_return\nemulator_return:\n mov $15, %rax\n syscall\n");

// Nobody else may handle invalid instructions. pytest and Jittor want to.
int sigaction(int number, const struct sigaction* action, struct sigaction* previous) {
    if (number != SIGILL || !action) return set_action(number, action, previous);
    if (previous) memset(previous, 0, sizeof *previous);
    return 0;
}

// Overwrites the start of a function of glibc by a jump. Libraries that are loaded with RTLD_DEEPBIND, such as
// Jittor's, would not find ours.
static void replace(const char* name, void* ours) {
    uint8_t* const theirs = dlsym(RTLD_NEXT, name);
    uint8_t jump[12] = {0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0};  // mov rax, ours; jmp rax
    memcpy(jump + 2, &ours, sizeof ours);
    void* const page = (void*)((uintptr_t)theirs & ~4095ul);
    mprotect(page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC);
    memcpy(theirs, jump, sizeof jump);
    mprotect(page, 8192, PROT_READ | PROT_EXEC);
}

// Permits the use of AMX, which Linux would refuse, and leaves all other system calls to Linux.
long syscall(long number, ...) {
    long a[6], result;
    va_list given;
    va_start(given, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(given, long);
    va_end(given);
    if (number == SYS_arch_prctl && a[0] == 0x1023) return 0;  // ARCH_REQ_XCOMP_PERM
    register long fourth __asm__("r10") = a[3], fifth __asm__("r8") = a[4], sixth __asm__("r9") = a[5];
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(fourth), "r"(fifth), "r"(sixth)
                     : "rcx", "r11", "memory");
    if (result >= 0 || result < -4095) return result;
    errno = -result;
    return -1;
}

// Shows EMULATED_CPUINFO instead of Linux's list of features.
static int open_file(const char* path, int flags, int mode) {
    const char* const emulated = getenv("EMULATED_CPUINFO");
    if (emulated && strcmp(path, "/proc/cpuinfo") == 0) path = emulated;
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char* path, int flags, ...) {
    va_list given;
    va_start(given, flags);
    const int mode = va_arg(given, int);
    va_end(given);
    return open_file(path, flags, mode);
}

int open64(const char* path, int flags, ...) __attribute__((alias("open")));

__attribute__((constructor)) static void start(void) {
    struct sigaction action = {0};
    action.sa_sigaction = on_invalid_instruction;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART | SA_ONSTACK;
    set_action(SIGILL, &action, NULL);
    replace("sigaction", sigaction);
}

// A CUDA runtime whose kernels do nothing. The host can access device memory only by the functions here: as with
// a real GPU, a process that uses a device address on the host crashes.
#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#define PAGE 4096
#define DEVICE ((size_t)1 << 40)  // bytes of addresses
#define IMPLEMENTED(type, name, arguments) __attribute__((visibility("default"))) type name arguments
#define CALL(name, arguments) IMPLEMENTED(cudaError_t, name, arguments)

static int some_handle;

CALL(cudaGetDeviceCount, (int* count)) {
    const char* wanted = getenv("STAND_IN_GPUS");
    return *count = wanted ? atoi(wanted) : 1, 0;
}
CALL(cudaGetDevice, (int* device)) { return *device = 0, 0; }
CALL(cudaGetDeviceProperties, (struct cudaDeviceProp* properties, int device)) {
    memset(properties, 0, sizeof *properties);
    strcpy(properties->name, "Stand-in GPU");
    properties->major = 9;
    properties->totalGlobalMem = (size_t)1 << 33;
    properties->multiProcessorCount = 132;
    properties->maxThreadsPerBlock = 1024;
    return 0;
}
CALL(cudaDeviceGetAttribute, (int* value, enum cudaDeviceAttr attribute, int device)) {
    return *value = attribute == cudaDevAttrComputeCapabilityMajor ? 9 : 0, 0;
}
CALL(cudaMemGetInfo, (size_t* unused, size_t* total)) { return *unused = *total = (size_t)1 << 33, 0; }

static char* device;  // its first address
static size_t taken;
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static int on_device(const void* memory) { return device && (char*)memory >= device && (char*)memory < device + DEVICE; }

static void protect(const void* memory, size_t size, int how) {
    uintptr_t from = (uintptr_t)memory & -PAGE, to = ((uintptr_t)memory + size + PAGE - 1) & -PAGE;
    if (on_device(memory)) mprotect((void*)from, to - from, how);
}

// No address is used twice, so that a use of freed memory is noticed.
CALL(cudaMalloc, (void** memory, size_t size)) {
    pthread_mutex_lock(&one_at_a_time);
    if (!device) device = mmap(0, DEVICE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *memory = device + taken;
    taken += (size + 2 * PAGE - 1) & -PAGE;
    pthread_mutex_unlock(&one_at_a_time);
    return 0;
}
CALL(cudaMallocHost, (void** memory, size_t size)) { return *memory = calloc(1, size + 256), 0; }
CALL(cudaHostAlloc, (void** memory, size_t size, unsigned flags)) { return cudaMallocHost(memory, size); }
CALL(cudaMallocManaged, (void** memory, size_t size, unsigned flags)) { return cudaMallocHost(memory, size); }
CALL(cudaFree, (void* memory)) { return 0; }
CALL(cudaFreeHost, (void* memory)) { return free(memory), 0; }
CALL(cudaMemcpy, (void* to, const void* from, size_t size, enum cudaMemcpyKind kind)) {
    pthread_mutex_lock(&one_at_a_time);
    protect(to, size, PROT_READ | PROT_WRITE), protect(from, size, PROT_READ | PROT_WRITE);
    memmove(to, from, size);
    protect(to, size, PROT_NONE), protect(from, size, PROT_NONE);
    pthread_mutex_unlock(&one_at_a_time);
    return 0;
}
CALL(cudaMemcpyAsync, (void* to, const void* from, size_t size, enum cudaMemcpyKind kind, cudaStream_t stream)) {
    return cudaMemcpy(to, from, size, kind);
}
CALL(cudaMemset, (void* memory, int value, size_t size)) {
    pthread_mutex_lock(&one_at_a_time);
    protect(memory, size, PROT_READ | PROT_WRITE);
    memset(memory, value, size);
    protect(memory, size, PROT_NONE);
    pthread_mutex_unlock(&one_at_a_time);
    return 0;
}
CALL(cudaMemsetAsync, (void* memory, int value, size_t size, cudaStream_t stream)) {
    return cudaMemset(memory, value, size);
}

CALL(cudaStreamCreate, (cudaStream_t * stream)) { return *stream = (cudaStream_t)&some_handle, 0; }
CALL(cudaStreamCreateWithFlags, (cudaStream_t * stream, unsigned flags)) { return cudaStreamCreate(stream); }
CALL(cudaEventCreate, (cudaEvent_t * event)) { return *event = (cudaEvent_t)&some_handle, 0; }
CALL(cudaEventCreateWithFlags, (cudaEvent_t * event, unsigned flags)) { return cudaEventCreate(event); }
CALL(cudaEventElapsedTime, (float* milliseconds, cudaEvent_t from, cudaEvent_t to)) { return *milliseconds = 0, 0; }
CALL(cudaStreamAddCallback, (cudaStream_t stream, cudaStreamCallback_t call, void* data, unsigned flags)) {
    return call(stream, cudaSuccess, data), 0;
}
CALL(cudaLaunchHostFunc, (cudaStream_t stream, cudaHostFn_t call, void* data)) { return call(data), 0; }

IMPLEMENTED(const char*, cudaGetErrorString, (cudaError_t error)) { return "stand-in"; }
IMPLEMENTED(const char*, cudaGetErrorName, (cudaError_t error)) { return "stand-in"; }
IMPLEMENTED(void**, __cudaRegisterFatBinary, (void* binary)) { return (void**)&some_handle; }

static struct {
    dim3 grid, block;
    size_t shared;
    void* stream;
} pushed;
IMPLEMENTED(unsigned, __cudaPushCallConfiguration, (dim3 grid, dim3 block, size_t shared, void* stream)) {
    pushed.grid = grid, pushed.block = block, pushed.shared = shared, pushed.stream = stream;
    return 0;
}
CALL(__cudaPopCallConfiguration, (dim3 * grid, dim3* block, size_t* shared, void* stream)) {
    *grid = pushed.grid, *block = pushed.block, *shared = pushed.shared, *(void**)stream = pushed.stream;
    return 0;
}

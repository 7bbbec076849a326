// A driver with STAND_IN_GPUS GPUs (default: 1) that do nothing.
#include <stdlib.h>
#include <string.h>
typedef int status;
status cuInit(unsigned flags) { return 0; }
status cuDriverGetVersion(int* version) { return *version = 13000, 0; }
status cuDeviceGetCount(int* count) {
    const char* wanted = getenv("STAND_IN_GPUS");
    return *count = wanted ? atoi(wanted) : 1, 0;
}
status cuDeviceGet(int* device, int index) { return *device = index, 0; }
status cuDeviceGetName(char* name, int length, int device) { return strncpy(name, "Stand-in GPU", length), 0; }
status cuDeviceTotalMem_v2(size_t* bytes, int device) { return *bytes = (size_t)1 << 33, 0; }
status cuDeviceGetAttribute(int* value, int attribute, int device) { return *value = attribute == 75 ? 9 : 0, 0; }

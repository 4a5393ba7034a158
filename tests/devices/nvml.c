/* A stand-in for libnvidia-ml.so.1 on machines without a GPU: it lists the GPUs that FAKE_GPUS describes.
 *
 * GPUs are separated by `;`, their fields by `,`: UUID, name, memory in MiB, and then any number of `pid=N` (a process that
 * computes on it), `used=MIB` (memory in use), `busy=PERCENT` (its utilisation) and `mig=UUID` (a slice of 10 GiB; a GPU with slices is
 * in MIG mode). FAKE_NVML_ERROR makes the start fail with
 * that number.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 16, SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };

struct gpu {
    char uuid[96], name[96];
    unsigned long long mebibytes, used;
    unsigned pids[MOST], pid_count, slice_count, busy;
    struct gpu *slices;
};
struct memory { unsigned version; unsigned long long total, reserved, free, used; };
struct rates { unsigned gpu, memory; };
struct process { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; };

static struct gpu gpus[MOST], slices[MOST][MOST];
static unsigned count;

static void field(struct gpu *gpu, unsigned number, char *text) {
    if (number == 0) snprintf(gpu->uuid, sizeof gpu->uuid, "%s", text);
    else if (number == 1) snprintf(gpu->name, sizeof gpu->name, "%s", text);
    else if (number == 2) gpu->mebibytes = strtoull(text, NULL, 10);
    else if (strncmp(text, "used=", 5) == 0) gpu->used = strtoull(text + 5, NULL, 10);
    else if (strncmp(text, "busy=", 5) == 0) gpu->busy = (unsigned)atoi(text + 5);
    else if (strncmp(text, "pid=", 4) == 0) gpu->pids[gpu->pid_count++] = (unsigned)atoi(text + 4);
    else if (strncmp(text, "mig=", 4) == 0) {
        struct gpu *slice = &gpu->slices[gpu->slice_count++];
        snprintf(slice->uuid, sizeof slice->uuid, "%s", text + 4);
        snprintf(slice->name, sizeof slice->name, "%s MIG 1g.10gb", gpu->name);
        slice->mebibytes = 10240;
    }
}

int nvmlInit_v2(void) {
    const char *error = getenv("FAKE_NVML_ERROR"), *described = getenv("FAKE_GPUS");
    if (error) return atoi(error);
    char *text = strdup(described ? described : ""), *rest = text, *gpu;
    count = 0;
    while ((gpu = strsep(&rest, ";")) && *gpu) {
        memset(&gpus[count], 0, sizeof gpus[count]);
        gpus[count].slices = slices[count];
        char *part;
        for (unsigned number = 0; (part = strsep(&gpu, ",")); number++) field(&gpus[count], number, part);
        count++;
    }
    free(text);
    return SUCCESS;
}

int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int error) { (void)error; return "made up"; }
int nvmlSystemGetDriverVersion(char *text, unsigned length) { snprintf(text, length, "580.65.06"); return SUCCESS; }
int nvmlDeviceGetCount_v2(unsigned *into) { *into = count; return SUCCESS; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct gpu **into) {
    if (index >= count) return INVALID_ARGUMENT;
    *into = &gpus[index];
    return SUCCESS;
}

int nvmlDeviceGetUUID(struct gpu *gpu, char *text, unsigned length) {
    snprintf(text, length, "%s", gpu->uuid);
    return SUCCESS;
}

int nvmlDeviceGetName(struct gpu *gpu, char *text, unsigned length) {
    snprintf(text, length, "%s", gpu->name);
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(struct gpu *gpu, struct memory *into) {
    into->total = gpu->mebibytes << 20;
    into->used = gpu->used << 20;
    into->free = into->total - into->used;
    into->reserved = 0;
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(struct gpu *gpu, struct rates *into) {
    into->gpu = into->memory = gpu->busy;
    return SUCCESS;
}

int nvmlDeviceGetCudaComputeCapability(struct gpu *gpu, int *major, int *minor) {
    (void)gpu;
    *major = 9, *minor = 0;
    return SUCCESS;
}

int nvmlDeviceGetMigMode(struct gpu *gpu, unsigned *current, unsigned *pending) {
    *current = *pending = gpu->slice_count > 0;
    return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(struct gpu *gpu, unsigned *into) { *into = gpu->slice_count ? 7 : 0; return SUCCESS; }

int nvmlDeviceGetMigDeviceHandleByIndex(struct gpu *gpu, unsigned index, struct gpu **into) {
    if (index >= gpu->slice_count) return NOT_FOUND;
    *into = &gpu->slices[index];
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(struct gpu *gpu, unsigned *size, struct process *into) {
    unsigned room = *size;
    *size = gpu->pid_count;
    if (gpu->pid_count > room || (gpu->pid_count && !into)) return gpu->pid_count ? INSUFFICIENT_SIZE : SUCCESS;
    for (unsigned at = 0; at < gpu->pid_count; at++) into[at] = (struct process){ gpu->pids[at], 1 << 20, 0, 0 };
    return SUCCESS;
}

/* A stand-in for libcuda.so.1 that computes nothing: as much of the driver's interface as CubeCL calls.
 *
 * Memory of the device is address space that is never touched: all that is read from it is zero. Launches are held against the limits of
 * the card and refused beyond them. Events go by a clock of their own, which only launches advance, by their size and their kernel: what autotuning
 * chooses is the same every time. A process that has launched anything appends one line of JSON to FAKE_CUDA_LOG when it ends.
 *
 * FAKE_CUDA_SM       compute capability: 75, 80, 90, 100, 120                  90
 * FAKE_CUDA_MEMORY   memory of each GPU, in MiB                                81920
 * FAKE_CUDA_GPUS     number of GPUs                                            1
 * FAKE_CUDA_PROBE    microseconds that a probe of the card's throughput takes  12000
 * FAKE_CUDA_LOG      file of the lines
 *
 * The loader must find it as libcuda.so, not as libcuda.so.1: NVRTC loads the latter and asks it for more.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2 };
enum { PAGE = 4096, WARP = 32, SM_COUNT = 132, MOST_THREADS = 1024, MOST_Z = 64, MOST_GRID_YZ = 65535, SHARED = 49152 };
enum { MOST_REFUSED = 8, NAME = 256 };

/* Numbers of attributes as the driver has them. */
enum {
    MAX_THREADS = 1, MAX_BLOCK_X, MAX_BLOCK_Y, MAX_BLOCK_Z, MAX_GRID_X, MAX_GRID_Y, MAX_GRID_Z, MAX_SHARED, WARP_SIZE = 10,
    MULTIPROCESSORS = 16, MAJOR = 75, MINOR = 76, SHARED_PER_MULTIPROCESSOR = 81, SHARED_OPTIN = 97
};
enum { DYNAMIC_SHARED = 8 };

typedef uint64_t address;

struct module { uint64_t hash; long launches; struct module *next; char kernel[NAME]; };
struct event { double microseconds; };
/* The driver's own, whose array members are of no use here. */
struct copy {
    size_t from_x, from_y; int from_kind; const void *from_host; address from_device; void *from_array; size_t from_pitch;
    size_t to_x, to_y; int to_kind; void *to_host; address to_device; void *to_array; size_t to_pitch;
    size_t width, height;
};
enum { HOST = 1 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    long launches, kernels, waits, to_device, from_device, on_device, refused;
    unsigned long long to_bytes, from_bytes, on_bytes, pageable_bytes, held, peak, pinned, pinned_peak;
} count;
static struct module *modules;
static char refused[MOST_REFUSED][NAME + 128];
static double clock_us;

static long number(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text && *text ? atol(text) : otherwise;
}
static int sm(void) { return (int)number("FAKE_CUDA_SM", 90); }
static unsigned long long memory(void) { return (unsigned long long)number("FAKE_CUDA_MEMORY", 81920) << 20; }
static unsigned shared_optin(void) {
    switch (sm()) {
        case 75: return 65536;
        case 80: return 166912;
        case 90: case 100: return 232448;
        case 86: case 89: case 120: return 101376;
        default: return SHARED;
    }
}

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("FAKE_CUDA_LOG");
    FILE *log = path && count.launches ? fopen(path, "a") : NULL;
    if (!log) return;
    fprintf(log, "{\"launches\":%ld,\"kernels\":%ld,\"waits\":%ld,\"to_device\":%ld,\"to_device_bytes\":%llu,\"from_device\":%ld,",
            count.launches, count.kernels, count.waits, count.to_device, count.to_bytes, count.from_device);
    fprintf(log, "\"from_device_bytes\":%llu,\"on_device\":%ld,\"on_device_bytes\":%llu,\"pageable_bytes\":%llu,\"peak_bytes\":%llu,",
            count.from_bytes, count.on_device, count.on_bytes, count.pageable_bytes, count.peak);
    fprintf(log, "\"pinned_peak_bytes\":%llu,\"refused\":[", count.pinned_peak);
    for (long at = 0; at < count.refused && at < MOST_REFUSED; at++) fprintf(log, "%s\"%s\"", at ? "," : "", refused[at]);
    fprintf(log, "],\"launches_of\":[");
    for (struct module *at = modules; at; at = at->next)
        fprintf(log, "[\"%s\",%ld]%s", at->kernel, at->launches, at->next ? "," : "");
    fprintf(log, "]}\n");
    fclose(log);
}

/* Refuses what a card would refuse; the lock is held. */
static int refuse(const char *what, const char *kernel) {
    if (count.refused < MOST_REFUSED) snprintf(refused[count.refused], sizeof refused[0], "%s: %s", kernel, what);
    count.refused++;
    return INVALID_VALUE;
}

/* Devices. */

int cuInit(unsigned flags) { (void)flags; return SUCCESS; }
int cuDriverGetVersion(int *version) { *version = 13000; return SUCCESS; }
int cuDeviceGetCount(int *into) {
    *into = (int)number("FAKE_CUDA_GPUS", 1);
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (!visible) return SUCCESS;
    int shown = 0;
    for (const char *at = visible; *at; at++) {
        char *end;
        long gpu = strtol(at, &end, 10);
        if (end == at || gpu < 0 || gpu >= *into) break;
        shown++, at = end;
        if (*at != ',') break;
    }
    *into = shown;
    return SUCCESS;
}
int cuDeviceGet(int *device, int index) { *device = index; return SUCCESS; }
int cuDeviceGetName(char *into, int length, int device) {
    (void)device;
    snprintf(into, (size_t)length, "Fake GPU sm_%d", sm());
    return SUCCESS;
}
int cuDeviceGetUuid_v2(unsigned char *into, int device) { memset(into, 7 + device, 16); return SUCCESS; }
int cuDeviceGetPCIBusId(char *into, int length, int device) {
    snprintf(into, (size_t)length, "0000:%02x:00.0", device + 1);
    return SUCCESS;
}
int cuDeviceTotalMem_v2(size_t *into, int device) { (void)device; *into = memory(); return SUCCESS; }
int cuDeviceGetAttribute(int *into, int attribute, int device) {
    (void)device;
    switch (attribute) {
        case MAX_THREADS: case MAX_BLOCK_X: case MAX_BLOCK_Y: *into = MOST_THREADS; break;
        case MAX_BLOCK_Z: *into = MOST_Z; break;
        case MAX_GRID_X: *into = INT32_MAX; break;
        case MAX_GRID_Y: case MAX_GRID_Z: *into = MOST_GRID_YZ; break;
        case MAX_SHARED: *into = SHARED; break;
        case WARP_SIZE: *into = WARP; break;
        case MULTIPROCESSORS: *into = SM_COUNT; break;
        case MAJOR: *into = sm() / 10; break;
        case MINOR: *into = sm() % 10; break;
        case SHARED_PER_MULTIPROCESSOR: *into = (int)shared_optin() + 1024; break;
        case SHARED_OPTIN: *into = (int)shared_optin(); break;
        default: *into = 1;
    }
    return SUCCESS;
}
int cuDevicePrimaryCtxRetain(void **into, int device) { *into = (void *)(intptr_t)(device + 1); return SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int device) { (void)device; return SUCCESS; }
static __thread void *current;
int cuCtxSetCurrent(void *context) { current = context; return SUCCESS; }
int cuCtxGetCurrent(void **into) { *into = current; return SUCCESS; }
int cuCtxGetStreamPriorityRange(int *least, int *greatest) { *least = 0, *greatest = -5; return SUCCESS; }
int cuGetErrorName(int error, const char **into) { (void)error; *into = "FAKE"; return SUCCESS; }
int cuGetErrorString(int error, const char **into) { (void)error; *into = "an error of a made-up driver"; return SUCCESS; }

/* Streams and events: what is waited for is there already. */

static int waited(void) {
    pthread_mutex_lock(&lock);
    count.waits++;
    pthread_mutex_unlock(&lock);
    return SUCCESS;
}
int cuStreamCreate(void **into, unsigned flags) {
    static intptr_t streams = 0;
    (void)flags;
    *into = (void *)__atomic_add_fetch(&streams, 1, __ATOMIC_SEQ_CST);
    return SUCCESS;
}
int cuStreamDestroy_v2(void *stream) { (void)stream; return SUCCESS; }
int cuStreamSynchronize(void *stream) { (void)stream; return waited(); }
int cuStreamWaitEvent(void *stream, void *event, unsigned flags) { (void)stream, (void)event, (void)flags; return SUCCESS; }
int cuCtxSynchronize(void) { return waited(); }
int cuEventCreate(struct event **into, unsigned flags) { (void)flags; *into = calloc(1, sizeof **into); return SUCCESS; }
int cuEventDestroy_v2(struct event *event) { free(event); return SUCCESS; }
int cuEventSynchronize(struct event *event) { (void)event; return waited(); }
int cuEventQuery(struct event *event) { (void)event; return SUCCESS; }
int cuEventRecord(struct event *event, void *stream) {
    (void)stream;
    pthread_mutex_lock(&lock);
    event->microseconds = clock_us;
    pthread_mutex_unlock(&lock);
    return SUCCESS;
}
int cuEventElapsedTime_v2(float *milliseconds, struct event *from, struct event *to) {
    double microseconds = to->microseconds - from->microseconds;
    *milliseconds = (float)((microseconds > 1 ? microseconds : 1) / 1000);
    return SUCCESS;
}

/* Memory. Its size stands in the page before it. */

static void *take(size_t bytes) {
    size_t whole = (bytes + PAGE - 1) / PAGE * PAGE + PAGE;
    size_t *page = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (page == MAP_FAILED) return NULL;
    page[0] = bytes, page[1] = whole;
    return (char *)page + PAGE;
}
static size_t give_back(void *taken) {
    size_t *page = (size_t *)((char *)taken - PAGE), bytes = page[0];
    munmap(page, page[1]);
    return bytes;
}
int cuMemAlloc_v2(address *into, size_t bytes) {
    pthread_mutex_lock(&lock);
    void *taken = count.held + bytes <= memory() ? take(bytes) : NULL;
    if (taken) count.held += bytes;
    if (count.held > count.peak) count.peak = count.held;
    pthread_mutex_unlock(&lock);
    *into = (address)(uintptr_t)taken;
    return taken ? SUCCESS : OUT_OF_MEMORY;
}
int cuMemFree_v2(address taken) {
    pthread_mutex_lock(&lock);
    count.held -= give_back((void *)(uintptr_t)taken);
    pthread_mutex_unlock(&lock);
    return SUCCESS;
}
int cuMemAllocAsync(address *into, size_t bytes, void *stream) { (void)stream; return cuMemAlloc_v2(into, bytes); }
int cuMemFreeAsync(address taken, void *stream) { (void)stream; return cuMemFree_v2(taken); }
int cuMemGetInfo_v2(size_t *unused, size_t *total) { *total = memory(), *unused = memory() - count.held; return SUCCESS; }

/* Pinned memory is known by its place, to tell which transfers are from elsewhere. */
enum { MOST_PINNED = 4096 };
static struct { char *from; size_t bytes; } pinned[MOST_PINNED];
int cuMemAllocHost_v2(void **into, size_t bytes) {
    pthread_mutex_lock(&lock);
    *into = take(bytes);
    for (int at = 0; *into && at < MOST_PINNED; at++) {
        if (pinned[at].from) continue;
        pinned[at].from = *into, pinned[at].bytes = bytes;
        break;
    }
    count.pinned += *into ? bytes : 0;
    if (count.pinned > count.pinned_peak) count.pinned_peak = count.pinned;
    pthread_mutex_unlock(&lock);
    return *into ? SUCCESS : OUT_OF_MEMORY;
}
int cuMemFreeHost(void *taken) {
    pthread_mutex_lock(&lock);
    for (int at = 0; at < MOST_PINNED; at++) if (pinned[at].from == taken) pinned[at].from = NULL;
    count.pinned -= give_back(taken);
    pthread_mutex_unlock(&lock);
    return SUCCESS;
}
static int is_pinned(const char *place) {
    for (int at = 0; at < MOST_PINNED; at++)
        if (pinned[at].from && place >= pinned[at].from && place < pinned[at].from + pinned[at].bytes) return 1;
    return 0;
}

static void transfers(int to_device, size_t bytes, const void *host) {
    pthread_mutex_lock(&lock);
    if (to_device) count.to_device++, count.to_bytes += bytes;
    else count.from_device++, count.from_bytes += bytes;
    if (!is_pinned(host)) count.pageable_bytes += bytes;
    pthread_mutex_unlock(&lock);
}
int cuMemcpyHtoDAsync_v2(address to, const void *from, size_t bytes, void *stream) {
    (void)stream;
    (void)to;
    transfers(1, bytes, from);
    return SUCCESS;
}
int cuMemcpyDtoHAsync_v2(void *to, address from, size_t bytes, void *stream) {
    (void)stream;
    (void)from;
    transfers(0, bytes, to);
    memset(to, 0, bytes);
    return SUCCESS;
}
int cuMemcpyDtoDAsync_v2(address to, address from, size_t bytes, void *stream) {
    (void)to, (void)from, (void)stream;
    pthread_mutex_lock(&lock);
    count.on_device++, count.on_bytes += bytes;
    pthread_mutex_unlock(&lock);
    return SUCCESS;
}
int cuMemcpy2DAsync_v2(const struct copy *copy, void *stream) {
    (void)stream;
    int to_device = copy->from_kind == HOST;
    transfers(to_device, copy->width * copy->height, to_device ? copy->from_host : copy->to_host);
    for (size_t row = 0; !to_device && row < copy->height; row++) memset((char *)copy->to_host + row * copy->to_pitch, 0, copy->width);
    return SUCCESS;
}

/* Kernels. */

int cuModuleLoadData(struct module **into, const char *image) {
    struct module *module = calloc(1, sizeof *module);
    module->hash = 1469598103934665603ull;
    for (const char *at = image; *at; at++) module->hash = (module->hash ^ (unsigned char)*at) * 1099511628211ull;
    pthread_mutex_lock(&lock);
    count.kernels++;
    module->next = modules, modules = module;
    pthread_mutex_unlock(&lock);
    *into = module;
    return SUCCESS;
}
int cuModuleUnload(struct module *module) { (void)module; return SUCCESS; }
/* A module has one kernel, which stands for it. */
int cuModuleGetFunction(struct module **into, struct module *module, const char *name) {
    snprintf(module->kernel, sizeof module->kernel, "%s", name);
    *into = module;
    return SUCCESS;
}
int cuFuncSetAttribute(struct module *kernel, int attribute, int value) {
    if (attribute != DYNAMIC_SHARED || value <= (int)shared_optin()) return SUCCESS;
    pthread_mutex_lock(&lock);
    int answer = refuse("more shared memory than the card has", kernel->kernel);
    pthread_mutex_unlock(&lock);
    return answer;
}
int cuLaunchKernel(struct module *kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                   void *stream, void **arguments, void **extra) {
    (void)stream, (void)arguments, (void)extra;
    uint64_t threads = (uint64_t)bx * by * bz, blocks = (uint64_t)gx * gy * gz;
    int answer = SUCCESS;
    pthread_mutex_lock(&lock);
    count.launches++, kernel->launches++;
    if (!blocks || gx > INT32_MAX || gy > MOST_GRID_YZ || gz > MOST_GRID_YZ) {
        answer = refuse("a grid that the card does not launch", kernel->kernel);
    } else if (!threads || bx > MOST_THREADS || by > MOST_THREADS || bz > MOST_Z || threads > MOST_THREADS) {
        answer = refuse("a block that the card does not launch", kernel->kernel);
    } else if (shared > shared_optin()) {
        answer = refuse("more shared memory than the card has", kernel->kernel);
    }
    clock_us += 3 + 1e-5 * (double)(blocks * threads) * (1 + (double)(kernel->hash % 16) / 16);
    pthread_mutex_unlock(&lock);
    /* CubeCL times probes of the card's throughput by its own clock, and asks for more and more of what takes no time. Those that take
     * a little less than the 20 ms that it aims at end with a throughput that no kernel reaches, so that it gives no candidate up. With
     * more than that the card seems so slow that it takes the first candidate and tries no other. */
    if (strstr(kernel->kernel, "throughput")) usleep((useconds_t)number("FAKE_CUDA_PROBE", 12000));
    return answer;
}

/* Tensor maps, by which kernels copy tiles, are left out by the program: a single one is a finding. */

static int map(void) {
    pthread_mutex_lock(&lock);
    int answer = refuse("tensor maps are left out", "a kernel that copies by them");
    pthread_mutex_unlock(&lock);
    return answer;
}
int cuTensorMapEncodeTiled(void) { return map(); }
int cuTensorMapEncodeIm2col(void) { return map(); }

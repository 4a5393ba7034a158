// A shared folder whose clients see old state: in folders of a cache that a run and its agents use together, a process sees a file that
// another one has made, and what another one has written to it, only DELAYED_MS after it looked last, or after that was made. What it
// does itself it sees at once. Only folders to which one process of a node writes are delayed, since those of a node see the same.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define REAL(type, name) __typeof__(type) real = (__typeof__(type))dlsym(RTLD_NEXT, name)
enum { FILES = 4096, NAMES = 8192 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
// Paths that this process has made, by a hash; a few that share one are seen early.
static unsigned char own[1 << 16];
// Sizes as they were seen last.
static struct { unsigned long path; long long size; double seen; } sizes[NAMES];
// Ends of what open files show; 0 where they show everything.
static long long ends[FILES];

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}
static double delay(void) {
    const char *text = getenv("DELAYED_MS");
    return text ? atof(text) : 0;
}
// Whether this process is an agent, which stores what its own run only looks at.
static int is_agent(void) {
    static int known = -1;
    if (known < 0) {
        char line[4096];
        REAL(ssize_t (*)(int, void *, size_t), "read");
        int file = openat(AT_FDCWD, "/proc/self/cmdline", O_RDONLY);
        ssize_t length = file < 0 ? 0 : real(file, line, sizeof line - 1);
        if (file >= 0) close(file);
        line[length < 0 ? 0 : length] = 0;
        known = length > 0 && strlen(line) + 1 < (size_t)length && !strcmp(line + strlen(line) + 1, "agent");
    }
    return known;
}
static int delayed(const char *path) {
    if (!path || !strstr(path, "/.athanor/")) return 0;
    return strstr(path, "/queues/") || strstr(path, "/agents/") || strstr(path, "/jobs/");
}
// Whether a run asks for the facts of a stored file: it opens those that it has stored itself.
static int stored(const char *path) {
    if (!path || !strstr(path, "/.athanor/")) return 0;
    return (strstr(path, "/objects/") || strstr(path, "/trees/")) && !is_agent();
}
static unsigned long hash(const char *path) {
    unsigned long value = 1469598103934665603ul;
    for (; *path; path++) value = (value ^ (unsigned char)*path) * 1099511628211ul;
    return value;
}
static void made(const char *path) {
    if (delayed(path)) own[hash(path) % sizeof own] = 1;
}
// Whether another process has made a file just now.
static int is_new(int folder, const char *name, const char *path) {
    struct statx facts;
    REAL(int (*)(int, const char *, int, unsigned, struct statx *), "statx");
    if (own[hash(path) % sizeof own]) return 0;
    if (real(folder, name, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &facts) != 0 || !(facts.stx_mask & STATX_BTIME)) return 0;
    return facts.stx_btime.tv_sec * 1e3 + facts.stx_btime.tv_nsec / 1e6 > now() - delay();
}
// Size of a file as this process sees it.
static long long seen_size(const char *path, long long size) {
    unsigned long name = hash(path);
    pthread_mutex_lock(&lock);
    unsigned at = name % NAMES;
    if (sizes[at].path != name || sizes[at].seen < now() - delay()) {
        sizes[at].path = name;
        sizes[at].size = size;
        sizes[at].seen = now();
    }
    long long seen = sizes[at].size < size ? sizes[at].size : size;
    pthread_mutex_unlock(&lock);
    return seen;
}
static int opened(int folder, const char *path, int flags, mode_t mode) {
    REAL(int (*)(int, const char *, int, ...), "openat64");
    if (!delayed(path)) return real(folder, path, flags, mode);
    if (flags & (O_WRONLY | O_RDWR | O_CREAT)) {
        int file = real(folder, path, flags, mode);
        if (file >= 0 && flags & O_CREAT) made(path);
        if (file >= 0 && file < FILES) ends[file] = 0;
        return file;
    }
    if (is_new(folder, path, path)) { errno = ENOENT; return -1; }
    int file = real(folder, path, flags, mode);
    if (file >= 0 && file < FILES) {
        off64_t size = lseek64(file, 0, SEEK_END);
        lseek64(file, 0, SEEK_SET);
        ends[file] = size > 0 ? seen_size(path, size) : 0;
    }
    return file;
}
#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; va_end(rest); \
        return opened(AT_FDCWD, path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
int close(int file) {
    REAL(int (*)(int), "close");
    if (file >= 0 && file < FILES) ends[file] = 0;
    return real(file);
}
ssize_t read(int file, void *buffer, size_t length) {
    REAL(ssize_t (*)(int, void *, size_t), "read");
    if (file >= 0 && file < FILES && ends[file] > 0) {
        long long left = ends[file] - lseek64(file, 0, SEEK_CUR);
        if (left <= 0) return 0;
        if ((long long)length > left) length = left;
    }
    return real(file, buffer, length);
}
int statx(int folder, const char *restrict path, int flags, unsigned mask, struct statx *restrict facts) {
    REAL(int (*)(int, const char *, int, unsigned, struct statx *), "statx");
    if ((delayed(path) || stored(path)) && is_new(folder, path, path)) { errno = ENOENT; return -1; }
    int result = real(folder, path, flags, mask, facts);
    if (result == 0 && !*path && folder >= 0 && folder < FILES && ends[folder] > 0) facts->stx_size = ends[folder];
    else if (result == 0 && delayed(path) && S_ISREG(facts->stx_mode)) facts->stx_size = seen_size(path, facts->stx_size);
    return result;
}
struct dirent64 *readdir64(DIR *folder) {
    REAL(struct dirent64 *(*)(DIR *), "readdir64");
    char link[64], path[4096], full[8192];
    snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd(folder));
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    for (;;) {
        struct dirent64 *entry = real(folder);
        if (!entry) return entry;
        snprintf(full, sizeof full, "%s/%s", path, entry->d_name);
        if (!delayed(full) || entry->d_name[0] == '.' || !is_new(dirfd(folder), entry->d_name, full)) return entry;
    }
}
int rename(const char *from, const char *to) {
    REAL(int (*)(const char *, const char *), "rename");
    int result = real(from, to);
    if (result == 0) made(to);
    return result;
}
int mkdir(const char *path, mode_t mode) {
    REAL(int (*)(const char *, mode_t), "mkdir");
    int result = real(path, mode);
    if (result == 0) made(path);
    return result;
}
int symlink(const char *target, const char *path) {
    REAL(int (*)(const char *, const char *), "symlink");
    int result = real(target, path);
    if (result == 0) made(path);
    return result;
}

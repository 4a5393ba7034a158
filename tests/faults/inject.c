// Refuses the Nth operation on files of one program and of what it starts, or kills the process that is about to carry it out.
//
// FAULT_REPORT   a file that all processes count in: the number of operations, and what was refused
// FAULT_PROGRAM  the program whose operations count; others (shells, their tools) work as ever
// FAULT_BELOW    a folder: only operations on what lies below it count
// FAULT_KINDS    the kinds of operations that count, between spaces
// FAULT_AT       which operation is refused, from 1
// FAULT_ERRNO    with which error; 0 kills the process
// FAULT_STAYS    every later operation is refused, too
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { REPORT_SIZE = 4096, DESCRIPTION = 4000 };
struct report {
    atomic_long operations;
    atomic_long refused;
    char description[DESCRIPTION];
};

static struct report *report;
static const char *below, *kinds;
static size_t below_length;
static long fault_at;
static int fault_errno, fault_stays;

__attribute__((constructor)) static void prepare(void) {
    const char *file = getenv("FAULT_REPORT"), *program = getenv("FAULT_PROGRAM");
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    below = getenv("FAULT_BELOW");
    kinds = getenv("FAULT_KINDS");
    if (!file || !program || !below || !kinds || length < 0) return;
    path[length] = 0;
    if (strcmp(path, program)) return;
    below_length = strlen(below);
    fault_at = atol(getenv("FAULT_AT") ?: "0");
    fault_errno = atoi(getenv("FAULT_ERRNO") ?: "0");
    fault_stays = getenv("FAULT_STAYS") != NULL;
    int fd = syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *shared = mmap(NULL, REPORT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (shared != MAP_FAILED) report = shared;
}

// The path of an open file, or of a name below an open folder; NULL where it has none.
static const char *path_at(int fd, const char *name, char *buffer) {
    if (name && (name[0] == '/' || fd == AT_FDCWD)) {
        if (name[0] == '/') return name;
        if (syscall(SYS_getcwd, buffer, PATH_MAX) < 0) return NULL;
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, buffer, PATH_MAX - 1);
        if (length < 0) return NULL;
        buffer[length] = 0;
    }
    size_t length = strlen(buffer);
    if (name && *name) snprintf(buffer + length, PATH_MAX - length, "/%s", name);
    return buffer;
}

static int is_below(const char *path) {
    return !strncmp(path, below, below_length) && (path[below_length] == '/' || !path[below_length]);
}

static int counts(const char *kind) {
    size_t length = strlen(kind);
    for (const char *found = kinds; (found = strstr(found, kind)); found += length) {
        int begins = found == kinds || found[-1] == ' ';
        if (begins && (found[length] == ' ' || !found[length])) return 1;
    }
    return 0;
}

// Whether this operation is refused; errno says with what.
static int refused(const char *kind, int fd, const char *name) {
    if (!report || !counts(kind)) return 0;
    int before = errno;
    char buffer[PATH_MAX];
    const char *path = path_at(fd, name, buffer);
    errno = before;
    if (!path || !is_below(path)) return 0;
    long number = atomic_fetch_add(&report->operations, 1) + 1;
    if (number < fault_at || (number > fault_at && !fault_stays)) return 0;
    if (number == fault_at) {
        snprintf(report->description, DESCRIPTION, "%s %s", kind, path + below_length);
        atomic_store(&report->refused, 1);
    }
    if (!fault_errno) syscall(SYS_kill, (pid_t)syscall(SYS_getpid), SIGKILL);
    errno = fault_errno;
    return 1;
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
// A call that is refused as an operation of `kind` on `name` in the folder `fd` (or on the open file, without a name).
#define CALL(type, function, parameters, arguments, kind, fd, name) \
    type function parameters { \
        REAL(function); \
        return refused(kind, fd, name) ? -1 : real arguments; \
    }

static const char *kind_of_open(int flags) {
    return (flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT ? "create" : "open";
}
#define OPEN(function) \
    int function(const char *path, int flags, ...) { \
        REAL(function); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        return refused(kind_of_open(flags), AT_FDCWD, path) ? -1 : real(path, flags, mode); \
    }
#define OPEN_AT(function) \
    int function(int folder, const char *path, int flags, ...) { \
        REAL(function); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        return refused(kind_of_open(flags), folder, path) ? -1 : real(folder, path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
OPEN_AT(openat)
OPEN_AT(openat64)
DIR *opendir(const char *path) {
    REAL(opendir);
    return refused("open", AT_FDCWD, path) ? NULL : real(path);
}
CALL(ssize_t, read, (int fd, void *to, size_t size), (fd, to, size), "read", fd, NULL)
CALL(ssize_t, pread64, (int fd, void *to, size_t size, off64_t at), (fd, to, size, at), "read", fd, NULL)
CALL(ssize_t, readlink, (const char *path, char *to, size_t size), (path, to, size), "read", AT_FDCWD, path)
CALL(int, statx, (int folder, const char *restrict path, int flags, unsigned mask, struct statx *restrict to),
     (folder, path, flags, mask, to), "stat", folder, path)
CALL(ssize_t, write, (int fd, const void *from, size_t size), (fd, from, size), "write", fd, NULL)
CALL(ssize_t, writev, (int fd, const struct iovec *from, int count), (fd, from, count), "write", fd, NULL)
CALL(ssize_t, pwrite64, (int fd, const void *from, size_t size, off64_t at), (fd, from, size, at), "write", fd, NULL)
CALL(int, ftruncate64, (int fd, off64_t size), (fd, size), "write", fd, NULL)
CALL(ssize_t, copy_file_range, (int from, off64_t *at, int to, off64_t *at_to, size_t size, unsigned flags),
     (from, at, to, at_to, size, flags), "write", to, NULL)
CALL(int, fsync, (int fd), (fd), "sync", fd, NULL)
CALL(int, fdatasync, (int fd), (fd), "sync", fd, NULL)
CALL(int, syncfs, (int fd), (fd), "sync", fd, NULL)
CALL(int, mkdir, (const char *path, mode_t mode), (path, mode), "mkdir", AT_FDCWD, path)
CALL(int, rename, (const char *from, const char *to), (from, to), "rename", AT_FDCWD, to)
CALL(int, renameat, (int from_fd, const char *from, int to_fd, const char *to), (from_fd, from, to_fd, to), "rename",
     to_fd, to)
CALL(int, renameat2, (int from_fd, const char *from, int to_fd, const char *to, unsigned flags),
     (from_fd, from, to_fd, to, flags), "rename", to_fd, to)
CALL(int, link, (const char *from, const char *to), (from, to), "link", AT_FDCWD, to)
CALL(int, linkat, (int from_fd, const char *from, int to_fd, const char *to, int flags),
     (from_fd, from, to_fd, to, flags), "link", to_fd, to)
CALL(int, symlink, (const char *target, const char *at), (target, at), "symlink", AT_FDCWD, at)
CALL(int, chmod, (const char *path, mode_t mode), (path, mode), "chmod", AT_FDCWD, path)
CALL(int, fchmod, (int fd, mode_t mode), (fd, mode), "chmod", fd, NULL)
CALL(int, unlink, (const char *path), (path), "remove", AT_FDCWD, path)
CALL(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags), "remove", folder, path)
CALL(int, rmdir, (const char *path), (path), "remove", AT_FDCWD, path)

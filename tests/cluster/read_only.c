// A shared folder that becomes read-only while it is in use: once the file READ_ONLY_FROM is there, nothing below paths that contain
// READ_ONLY_BELOW can be opened for writing, made, renamed or removed.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(type, name) __typeof__(type) real = (__typeof__(type))dlsym(RTLD_NEXT, name)

static int refused(const char *path) {
    const char *from = getenv("READ_ONLY_FROM"), *below = getenv("READ_ONLY_BELOW");
    if (!from || !below || !path || !strstr(path, below) || access(from, F_OK)) return 0;
    errno = EROFS;
    return 1;
}
static int writes(int flags) { return (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC); }

#define OPEN(name)                                                     \
    int name(const char *path, int flags, ...) {                       \
        va_list arguments;                                             \
        va_start(arguments, flags);                                    \
        int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, int) : 0; \
        va_end(arguments);                                             \
        if (writes(flags) && refused(path)) return -1;                 \
        REAL(int (*)(const char *, int, ...), #name);                  \
        return real(path, flags, mode);                                \
    }
OPEN(open)
OPEN(open64)

int rename(const char *from, const char *to) {
    REAL(int (*)(const char *, const char *), "rename");
    return refused(from) || refused(to) ? -1 : real(from, to);
}
int mkdir(const char *path, mode_t mode) {
    REAL(int (*)(const char *, mode_t), "mkdir");
    return refused(path) ? -1 : real(path, mode);
}
int unlink(const char *path) {
    REAL(int (*)(const char *), "unlink");
    return refused(path) ? -1 : real(path);
}

// Refuses operations that a file system may lack, those whose names are in REFUSED, below paths that contain REFUSED_BELOW.
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

static int refused(const char *what, const char *path) {
    const char *all = getenv("REFUSED"), *below = getenv("REFUSED_BELOW");
    return all && strstr(all, what) && (!below || !path || strstr(path, below));
}
static const char *path_of(int fd, char *buffer, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, buffer, size - 1);
    buffer[length < 0 ? 0 : length] = 0;
    return buffer;
}
#define REAL(type, name) __typeof__(type) real = (__typeof__(type))dlsym(RTLD_NEXT, name)

int flock(int fd, int how) {
    REAL(int (*)(int, int), "flock");
    char path[4096];
    if (refused("flock", path_of(fd, path, sizeof path))) { errno = ENOSYS; return -1; }
    return real(fd, how);
}
static int control(int fd, int what, void *value) {
    REAL(int (*)(int, int, void *), "fcntl64");
    char path[4096];
    if ((what == F_OFD_SETLK || what == F_OFD_SETLKW || what == F_OFD_GETLK) && refused("record", path_of(fd, path, sizeof path))) {
        errno = ENOLCK;
        return -1;
    }
    return real(fd, what, value);
}
int fcntl(int fd, int what, ...) {
    va_list arguments;
    va_start(arguments, what);
    void *value = va_arg(arguments, void *);
    va_end(arguments);
    return control(fd, what, value);
}
int fcntl64(int fd, int what, ...) {
    va_list arguments;
    va_start(arguments, what);
    void *value = va_arg(arguments, void *);
    va_end(arguments);
    return control(fd, what, value);
}
int link(const char *from, const char *to) {
    REAL(int (*)(const char *, const char *), "link");
    if (refused("hardlink", to)) { errno = EOPNOTSUPP; return -1; }
    return real(from, to);
}
int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags) {
    REAL(int (*)(int, const char *, int, const char *, int), "linkat");
    if (refused("hardlink", to)) { errno = EPERM; return -1; }
    return real(from_fd, from, to_fd, to, flags);
}
int symlink(const char *target, const char *at) {
    REAL(int (*)(const char *, const char *), "symlink");
    if (refused("symlink", at)) { errno = EPERM; return -1; }
    return real(target, at);
}
int chmod(const char *path, mode_t mode) {
    REAL(int (*)(const char *, mode_t), "chmod");
    if (refused("chmod", path)) { errno = EPERM; return -1; }
    return real(path, mode);
}
int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags) {
    REAL(int (*)(int, const char *, int, const char *, unsigned), "renameat2");
    if (refused("renameat2", to)) { errno = EINVAL; return -1; }
    return real(from_fd, from, to_fd, to, flags);
}

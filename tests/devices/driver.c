/* A stand-in for libcuda.so.1: it notes who loads it in the file FAKE_CUDA_NOTE, and has no GPU. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { NO_DEVICE = 100 };

__attribute__((constructor)) static void note(void) {
    const char *path = getenv("FAKE_CUDA_NOTE");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file) return;
    fprintf(file, "%d\n", (int)getpid());
    fclose(file);
}

int cuInit(unsigned flags) { (void)flags; return NO_DEVICE; }

/* The input of a fuzz target as a file, for parsers that take a path. */
#ifndef TESTS_FUZZ_CONFIG_FILE_H
#define TESTS_FUZZ_CONFIG_FILE_H

#include "tests/fuzz/target.h"

#include <sys/mman.h>
#include <unistd.h>

/* One file in memory, whose content is `data` until the next call; its path. */
static inline const char *config_file(const uint8_t *data, size_t len)
{
    static char path[32];
    static int fd = -1;
    if (fd < 0) {
        fd = memfd_create("config", MFD_CLOEXEC);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    }
    MUST(fd >= 0 && ftruncate(fd, 0) == 0);
    MUST(pwrite(fd, data, len, 0) == (ssize_t)len);
    return path;
}

#endif

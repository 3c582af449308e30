#include "common/read_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum sticps_err read_all(int fd, const char *path, size_t max, char **out, size_t *out_len,
                                struct sticps_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail(err, STICPS_ERR_FILE, path, "cannot read: %s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return fail(err, STICPS_ERR_FILE, path, "not a regular file");
    if (st.st_size < 0 || (unsigned long long)st.st_size > max)
        return fail(err, STICPS_ERR_FILE, path, "larger than %zu bytes", max);

    size_t size = (size_t)st.st_size, len = 0;
    char *data = malloc(size + 1);
    if (data == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, path, "out of memory");
    while (len < size) {
        ssize_t n = read(fd, data + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            fail(err, STICPS_ERR_FILE, path, "cannot read: %s", strerror(errno));
            free(data);
            return STICPS_ERR_FILE;
        }
        if (n == 0) /* cut while we read */
            break;
        len += (size_t)n;
    }
    data[len] = '\0';
    *out = data;
    *out_len = len;
    return STICPS_OK;
}

enum sticps_err read_file(const char *path, size_t max, char **out, size_t *out_len,
                          struct sticps_error *err)
{
    /* O_NONBLOCK: opening a FIFO must not hang; it has no effect on regular files. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fail(err, STICPS_ERR_FILE, path, "cannot open: %s", strerror(errno));
    enum sticps_err rc = read_all(fd, path, max, out, out_len, err);
    close(fd);
    return rc;
}

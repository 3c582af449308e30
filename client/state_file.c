#include "client/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *state_file_path(const char *dir, const char *name, const char *suffix)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s%s", dir, name, suffix) < 0 ? NULL : path;
}

/* ---- reading ---- */

static enum sticps_err unreadable(struct sticps_error *err, const char *path, const char *why)
{
    return fail(err, STICPS_ERR_STATE, path, "the state cannot be read: %s", why);
}

enum sticps_err state_file_read(const char *path, size_t max, char **text, size_t *len,
                                struct sticps_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return STICPS_OK;
    if (fd < 0)
        return unreadable(err, path, strerror(errno));
    enum sticps_err code = STICPS_OK;
    char *data = NULL;
    size_t got = 0;
    struct stat stat;
    if (fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode) || (size_t)stat.st_size > max) {
        code = unreadable(err, path, "not a regular file of a possible size");
        goto cleanup;
    }
    size_t size = (size_t)stat.st_size;
    data = malloc(size + 1);
    if (data == NULL) {
        code = fail(err, STICPS_ERR_NO_MEMORY, path, "out of memory");
        goto cleanup;
    }
    while (got < size) {
        ssize_t n = read(fd, data + got, size - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            code = unreadable(err, path, n < 0 ? strerror(errno) : "it became shorter");
            goto cleanup;
        }
        got += (size_t)n;
    }
    data[got] = '\0';
    *text = data;
    *len = got;
    data = NULL;
cleanup:
    free(data);
    close(fd);
    return code;
}

/* ---- writing ---- */

bool state_file_write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return true;
}

enum sticps_err state_file_sync_dir(const char *dir, struct sticps_error *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    int saved = errno;
    if (fd >= 0)
        close(fd);
    return ok ? STICPS_OK
              : fail(err, STICPS_ERR_FILE, dir, "cannot be synced: %s", strerror(saved));
}

enum sticps_err state_file_write(const char *dir, const char *path, const char *temp,
                                 const char *text, size_t len, enum state_file_way way,
                                 struct sticps_error *err)
{
    /* A fixed name is ours under the lock: what a crash left there is overwritten. */
    bool durable = way == STATE_FILE_DURABLE;
    int fd = open(temp, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (durable ? O_TRUNC : O_EXCL),
                  0644);
    if (fd < 0)
        return fail(err, STICPS_ERR_FILE, temp, "cannot be written: %s", strerror(errno));
    bool ok = state_file_write_all(fd, text, len) && (!durable || fsync(fd) == 0);
    int saved = errno;
    if (close(fd) < 0 && ok) {
        saved = errno;
        ok = false;
    }
    if (ok && rename(temp, path) < 0) {
        saved = errno;
        ok = false;
    }
    if (!ok) {
        unlink(temp);
        return fail(err, STICPS_ERR_FILE, path, "cannot be written: %s", strerror(saved));
    }
    return durable ? state_file_sync_dir(dir, err) : STICPS_OK;
}

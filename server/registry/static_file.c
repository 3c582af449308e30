#include "server/registry/static_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum sticps_err refuse(const char *path, struct sticps_error *err)
{
    return fail(err, STICPS_ERR_FILE, path, "%s cannot be written: %s", path, strerror(errno));
}

/* The folder `name` (not terminated) of `parent`, made when it is missing; -1 with errno. Its own
 * entry is forced to the disk before anything is put into it. */
static int enter(int parent, const char *name, size_t len)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    char text[STATIC_FILE_NAME];

    if (len == 0 || len >= sizeof(text)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(text, name, len);
    text[len] = '\0';
    int fd = openat(parent, text, flags);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    if (mkdirat(parent, text, 0755) != 0 || (fd = openat(parent, text, flags)) < 0)
        return -1;
    if (fchmod(fd, 0755) == 0 && fsync(parent) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

/* The folder of a path, to be closed; `*name` is what follows it. -1 with errno. */
static int open_folder(int root, const char *path, const char **name)
{
    int folder = fcntl(root, F_DUPFD_CLOEXEC, 0);
    const char *slash;

    while (folder >= 0 && (slash = strchr(path, '/')) != NULL) {
        int next = enter(folder, path, (size_t)(slash - path));
        int why = errno;

        close(folder);
        errno = why;
        folder = next;
        path = slash + 1;
    }
    *name = path;
    return folder;
}

static bool write_all(int fd, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        ssize_t done = write(fd, at, len);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        at += done;
        len -= (size_t)done;
    }
    return true;
}

static bool fill(int fd, const void *data, size_t len, time_t mtime)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = mtime}};

    return write_all(fd, data, len) && fchmod(fd, 0644) == 0 && futimens(fd, times) == 0 &&
           fsync(fd) == 0;
}

enum sticps_err static_file_prepare(int root, const char *path, const void *data, size_t len,
                                    time_t mtime, struct static_file *out, struct sticps_error *err)
{
    struct static_file file;
    const char *name;

    file.folder = open_folder(root, path, &name);
    if (file.folder < 0)
        return refuse(path, err);
    if (strlen(name) >= sizeof(file.name)) {
        close(file.folder);
        errno = ENAMETOOLONG;
        return refuse(path, err);
    }
    snprintf(file.name, sizeof(file.name), "%s", name);
    snprintf(file.temporary, sizeof(file.temporary), ".%s.new", name);
    int fd = openat(file.folder, file.temporary,
                    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    bool written = fd >= 0 && fill(fd, data, len, mtime);
    if (fd >= 0 && close(fd) != 0)
        written = false;
    if (!written) {
        enum sticps_err rc = refuse(path, err);

        static_file_abort(&file);
        return rc;
    }
    *out = file;
    return STICPS_OK;
}

enum sticps_err static_file_commit(struct static_file *file, struct sticps_error *err)
{
    enum sticps_err rc = STICPS_OK;

    if (renameat(file->folder, file->temporary, file->folder, file->name) != 0 ||
        fsync(file->folder) != 0)
        rc = refuse(file->name, err);
    static_file_abort(file);
    return rc;
}

void static_file_abort(struct static_file *file)
{
    if (file->folder < 0)
        return;
    unlinkat(file->folder, file->temporary, 0); /* gone already when it is committed */
    close(file->folder);
    file->folder = -1;
}

enum sticps_err static_file_write(int root, const char *path, const void *data, size_t len,
                                  time_t mtime, struct sticps_error *err)
{
    struct static_file file = {.folder = -1};
    enum sticps_err rc = static_file_prepare(root, path, data, len, mtime, &file, err);

    return rc == STICPS_OK ? static_file_commit(&file, err) : rc;
}

enum sticps_err static_file_remove(int root, const char *path, struct sticps_error *err)
{
    const char *name;
    int folder = open_folder(root, path, &name);

    if (folder < 0)
        return refuse(path, err);
    bool done = (unlinkat(folder, name, 0) == 0 && fsync(folder) == 0) || errno == ENOENT;
    enum sticps_err rc = done ? STICPS_OK : refuse(path, err);
    close(folder);
    return rc;
}

bool static_file_exists(int root, const char *path)
{
    struct stat info;

    return fstatat(root, path, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode);
}

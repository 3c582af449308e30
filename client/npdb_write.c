#include "client/npdb_write.h"

#include "client/crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_SIZE 65536u

struct npdb_output {
    int fd, folder;
    char *path;
    char *name; /* of the file so far; "" when it has none */
    uint64_t offset;
    enum npdb_section section;
    uint64_t starts[NPDB_SECTIONS], sizes[NPDB_SECTIONS];
    uint32_t crcs[NPDB_SECTIONS];
    size_t buffered;
    unsigned char buffer[BUFFER_SIZE];
};

static enum sticps_err cannot_write(struct sticps_error *err, const char *path)
{
    return fail(err, errno == ENOMEM ? STICPS_ERR_NO_MEMORY : STICPS_ERR_FILE, path,
                "cannot write the portability file: %s", strerror(errno));
}

/* ---- files without a name ---- */

/* The folder that `path` is in, or -1 with errno. */
static int open_folder(const char *path)
{
    char *copy = strdup(path);
    if (copy == NULL) {
        errno = ENOMEM; /* a host's allocator need not say so */
        return -1;
    }
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    return fd;
}

/* Opens a file without a name if the file system can, else one beside `path`, whose name goes to
 * `name`, with room for the path and seven characters more. -1 with errno. */
static int open_temporary(int folder, const char *path, char *name)
{
    int fd = -1;
    name[0] = '\0';
    if (access("/proc/self/fd", X_OK) == 0) /* the way to give it a name later */
        fd = openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || errno == ENOSPC || errno == EACCES || errno == EROFS)
        return fd;
    snprintf(name, strlen(path) + 8, "%s.XXXXXX", path);
    fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0)
        name[0] = '\0';
    return fd;
}

enum sticps_err npdb_unnamed_file(const char *path, int *fd, struct sticps_error *err)
{
    char *name = malloc(strlen(path) + 8);
    if (name == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    int folder = open_folder(path);
    int opened = folder >= 0 ? open_temporary(folder, path, name) : -1;
    enum sticps_err code = STICPS_OK;
    if (opened >= 0)
        *fd = opened;
    else
        code = fail(err, errno == ENOMEM ? STICPS_ERR_NO_MEMORY : STICPS_ERR_FILE, path,
                    "cannot make a temporary file beside it: %s", strerror(errno));
    if (opened >= 0 && name[0] != '\0')
        unlink(name);
    if (folder >= 0)
        close(folder);
    free(name);
    return code;
}

/* ---- writing ---- */

static bool write_all(int fd, const unsigned char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len < 1 << 30 ? len : 1 << 30);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* Writes what belongs to the section, and counts it into its CRC. */
static bool put(struct npdb_output *output, const void *data, size_t len)
{
    output->crcs[output->section] = crc32c_more(output->crcs[output->section], data, len);
    return write_all(output->fd, data, len);
}

static bool flush(struct npdb_output *output)
{
    size_t len = output->buffered;
    output->buffered = 0;
    return put(output, output->buffer, len);
}

enum sticps_err npdb_output_add(struct npdb_output *output, const void *data, size_t len,
                                struct sticps_error *err)
{
    bool ok = true;
    if (len == 0)
        return STICPS_OK; /* and `data` may be NULL */
    if (output->buffered + len > BUFFER_SIZE)
        ok = flush(output);
    if (len > BUFFER_SIZE) {
        ok = ok && put(output, data, len);
    } else if (ok) {
        memcpy(output->buffer + output->buffered, data, len);
        output->buffered += len;
    }
    if (!ok)
        return cannot_write(err, output->path);
    output->offset += len;
    return STICPS_OK;
}

uint64_t npdb_output_offset(const struct npdb_output *output)
{
    return output->offset;
}

/* The bytes in front of a section, which are zero, belong to none. */
static enum sticps_err begin_section(struct npdb_output *output, enum npdb_section section,
                                     size_t zeros, struct sticps_error *err)
{
    static const unsigned char zero[NPDB_HEADER_SIZE] = {0};
    enum sticps_err code = npdb_output_add(output, zero, zeros, err);
    if (code == STICPS_OK && !flush(output))
        code = cannot_write(err, output->path);
    output->section = section;
    output->crcs[section] = 0;
    output->starts[section] = output->offset;
    return code;
}

static bool end_section(struct npdb_output *output)
{
    output->sizes[output->section] = output->offset - output->starts[output->section];
    return flush(output);
}

enum sticps_err npdb_output_next_section(struct npdb_output *output, struct sticps_error *err)
{
    if (!end_section(output))
        return cannot_write(err, output->path);
    uint32_t crc = output->crcs[output->section];
    enum npdb_section ended = output->section;
    enum sticps_err code = begin_section(output, ended + 1, (size_t)(-output->offset & 7), err);
    output->crcs[ended] = crc;
    return code;
}

enum sticps_err npdb_output_open(const char *path, struct npdb_output **out,
                                 struct sticps_error *err)
{
    struct npdb_output *output = calloc(1, sizeof(*output));
    if (output == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    output->fd = output->folder = -1;
    output->path = strdup(path);
    output->name = calloc(1, strlen(path) + 8);
    enum sticps_err code = STICPS_OK;
    if (output->path == NULL || output->name == NULL)
        code = fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (code == STICPS_OK) {
        output->folder = open_folder(path);
        if (output->folder >= 0)
            output->fd = open_temporary(output->folder, path, output->name);
        if (output->fd < 0)
            code = cannot_write(err, path);
    }
    if (code == STICPS_OK)
        code = begin_section(output, NPDB_BLOCKS, NPDB_HEADER_SIZE, err);
    if (code != STICPS_OK) {
        npdb_output_abandon(output);
        return code;
    }
    *out = output;
    return STICPS_OK;
}

/* ---- the end ---- */

static void make_header(const struct npdb_output *output, const struct npdb_output_head *head,
                        unsigned char h[NPDB_HEADER_SIZE])
{
    memset(h, 0, NPDB_HEADER_SIZE);
    memcpy(h + NPDB_AT_MAGIC, NPDB_MAGIC, sizeof(NPDB_MAGIC) - 1);
    npdb_put32(h + NPDB_AT_VERSION, NPDB_VERSION);
    npdb_put32(h + NPDB_AT_HEADER_SIZE, NPDB_HEADER_SIZE);
    npdb_put64(h + NPDB_AT_FILE_SIZE, output->offset);
    npdb_put64(h + NPDB_AT_SEQUENCE, head->sequence);
    npdb_put64(h + NPDB_AT_PORTS, head->ports);
    npdb_put64(h + NPDB_AT_BLOCK_COUNT, head->blocks);
    for (size_t i = 0; i < NPDB_SECTIONS; i++) {
        unsigned char *section = h + NPDB_AT_SECTIONS + i * NPDB_SECTION_SIZE;
        npdb_put64(section, output->starts[i]);
        npdb_put64(section + 8, output->sizes[i]);
        npdb_put32(section + 16, output->crcs[i]);
    }
    npdb_put32(h + NPDB_AT_CRC, crc32c(h, NPDB_AT_CRC));
}

static bool write_header(struct npdb_output *output, const struct npdb_output_head *head)
{
    unsigned char header[NPDB_HEADER_SIZE];
    make_header(output, head, header);
    return lseek(output->fd, 0, SEEK_SET) == 0 && write_all(output->fd, header, sizeof(header)) &&
           fchmod(output->fd, 0644) == 0 && fsync(output->fd) == 0;
}

/* A file without a name gets one that nobody has. A link cannot replace a file, a rename can. */
static bool give_name(struct npdb_output *output)
{
    char self[40];
    size_t len = strlen(output->path);
    snprintf(self, sizeof(self), "/proc/self/fd/%d", output->fd);
    for (unsigned i = 0; i < 1000000; i++) {
        snprintf(output->name, len + 8, "%s.%06u", output->path, i);
        if (linkat(AT_FDCWD, self, AT_FDCWD, output->name, AT_SYMLINK_FOLLOW) == 0)
            return true;
        if (errno != EEXIST)
            break;
    }
    output->name[0] = '\0';
    return false;
}

static bool put_in_place(struct npdb_output *output)
{
    if (output->name[0] == '\0' && !give_name(output))
        return false;
    if (rename(output->name, output->path) != 0)
        return false;
    output->name[0] = '\0';
    return fsync(output->folder) == 0; /* the rename is on disk only when the folder is */
}

enum sticps_err npdb_output_finish(struct npdb_output *output, const struct npdb_output_head *head,
                                   struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    if (!end_section(output) || !write_header(output, head) || !put_in_place(output))
        code = cannot_write(err, output->path);
    npdb_output_abandon(output);
    return code;
}

void npdb_output_abandon(struct npdb_output *output)
{
    if (output == NULL)
        return;
    if (output->name != NULL && output->name[0] != '\0')
        unlink(output->name);
    if (output->fd >= 0)
        close(output->fd);
    if (output->folder >= 0)
        close(output->folder);
    free(output->name);
    free(output->path);
    free(output);
}

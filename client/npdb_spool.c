#include "client/npdb_spool.h"

#include "client/npdb_write.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum sticps_err npdb_spool_start(struct npdb_spool *spool, const char *beside,
                                 struct sticps_error *err)
{
    memset(spool, 0, sizeof(*spool));
    spool->fd = -1;
    spool->beside = strdup(beside);
    /* Not cleared: memory that no number comes to is never touched. */
    spool->rows = malloc((size_t)NPDB_SPOOL_PARTS * NPDB_SPOOL_EXTENT);
    spool->filled = calloc(NPDB_SPOOL_PARTS, sizeof(*spool->filled));
    spool->first = calloc(NPDB_SPOOL_PARTS, sizeof(*spool->first));
    spool->last = calloc(NPDB_SPOOL_PARTS, sizeof(*spool->last));
    if (spool->beside != NULL && spool->rows != NULL && spool->filled != NULL &&
        spool->first != NULL && spool->last != NULL)
        return STICPS_OK;
    npdb_spool_clear(spool);
    return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
}

void npdb_spool_clear(struct npdb_spool *spool)
{
    if (spool->rows != NULL && spool->fd >= 0)
        close(spool->fd);
    free(spool->beside);
    free(spool->rows);
    free(spool->filled);
    free(spool->first);
    free(spool->last);
    free(spool->next);
    memset(spool, 0, sizeof(*spool));
}

static off_t extent_offset(uint32_t extent)
{
    return (off_t)(extent - 1) * (off_t)NPDB_SPOOL_EXTENT;
}

/* A place for one more extent; its number. 0 without memory. */
static uint32_t new_extent(struct npdb_spool *spool)
{
    if (spool->extents + 1 >= spool->capacity) {
        uint32_t capacity = spool->capacity == 0 ? 1024 : spool->capacity * 2;
        uint32_t *next = reallocarray(spool->next, capacity, sizeof(*next));
        if (next == NULL)
            return 0;
        spool->next = next;
        spool->capacity = capacity;
    }
    spool->next[++spool->extents] = 0;
    return spool->extents;
}

enum sticps_err npdb_spool_flush(struct npdb_spool *spool, uint32_t part, struct sticps_error *err)
{
    if (spool->fd < 0) {
        enum sticps_err code = npdb_unnamed_file(spool->beside, &spool->fd, err);
        if (code != STICPS_OK)
            return code;
    }
    uint32_t extent = new_extent(spool);
    if (extent == 0)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    const unsigned char *rows = spool->rows + (size_t)part * NPDB_SPOOL_EXTENT;
    off_t at = extent_offset(extent);
    for (size_t done = 0; done < NPDB_SPOOL_EXTENT;) {
        ssize_t n = pwrite(spool->fd, rows + done, NPDB_SPOOL_EXTENT - done, at + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(err, STICPS_ERR_FILE, spool->beside,
                        "cannot write the temporary file beside it (5 bytes for each ported "
                        "number): %s",
                        strerror(errno));
        done += (size_t)n;
    }
    if (spool->first[part] == 0)
        spool->first[part] = extent;
    else
        spool->next[spool->last[part]] = extent;
    spool->last[part] = extent;
    spool->filled[part] = 0;
    return STICPS_OK;
}

void npdb_spool_begin(const struct npdb_spool *spool, uint32_t part,
                      struct npdb_spool_reading *reading)
{
    reading->part = part;
    reading->extent = spool->first[part];
    reading->ended = false;
}

enum sticps_err npdb_spool_next(const struct npdb_spool *spool, struct npdb_spool_reading *reading,
                                const unsigned char **rows, size_t *bytes, struct sticps_error *err)
{
    if (reading->extent == 0) {
        *rows = spool->rows + (size_t)reading->part * NPDB_SPOOL_EXTENT;
        *bytes = reading->ended ? 0 : spool->filled[reading->part];
        reading->ended = true;
        return STICPS_OK;
    }
    off_t at = extent_offset(reading->extent);
    for (size_t done = 0; done < NPDB_SPOOL_EXTENT;) {
        ssize_t n =
            pread(spool->fd, reading->rows + done, NPDB_SPOOL_EXTENT - done, at + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(err, STICPS_ERR_FILE, spool->beside,
                        "cannot read the temporary file beside it: %s",
                        n < 0 ? strerror(errno) : "it has become shorter");
        done += (size_t)n;
    }
    *rows = reading->rows;
    *bytes = NPDB_SPOOL_EXTENT;
    reading->extent = spool->next[reading->extent];
    return STICPS_OK;
}

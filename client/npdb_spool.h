/* Ported numbers on their way from the order of the CSV to the order of the plan: they are added as
 * they come and read back by *part*, the million numbers that share the NPA and the first digit of
 * the NXX, within a part in the order in which they were added. Called by npdb_build.
 *
 * A number takes 5 bytes. What does not fit in 8 kB for each part goes to a file without a name
 * beside the output, so that memory stays below 60 MB whatever there is to add, and a build that is
 * killed leaves nothing. One thread adds; when all is added any number of threads may read. */
#ifndef CLIENT_NPDB_SPOOL_H
#define CLIENT_NPDB_SPOOL_H

#include "client/npdb_format.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NPDB_SPOOL_PARTS (NPDB_NPA_COUNT * 10) /* (NPA - 200) * 10 + first digit of the NXX */
#define NPDB_SPOOL_PART_NUMBERS 1000000u       /* in each */
#define NPDB_SPOOL_ROW 5u                      /* 20 bits of the number, 20 of the owner */
#define NPDB_SPOOL_EXTENT (1638u * NPDB_SPOOL_ROW)

struct npdb_spool {
    int fd;              /* -1 until it is needed */
    char *beside;        /* the output */
    unsigned char *rows; /* NPDB_SPOOL_EXTENT bytes for each part */
    uint16_t *filled;    /* of them */
    uint32_t *first;     /* extent in the file, counted from 1, of each part; 0: none */
    uint32_t *last;
    uint32_t *next; /* of each extent; 0: it is its part's last */
    uint32_t extents, capacity;
};

/* `beside` is the path of the output, copied. STICPS_ERR_NO_MEMORY. */
enum sticps_err npdb_spool_start(struct npdb_spool *spool, const char *beside,
                                 struct sticps_error *err) STICPS_MUST_CHECK;

/* Accepts one that is all zeros. */
void npdb_spool_clear(struct npdb_spool *spool);

/* A part's rows are full: puts them into the file. STICPS_ERR_FILE, STICPS_ERR_NO_MEMORY. */
enum sticps_err npdb_spool_flush(struct npdb_spool *spool, uint32_t part,
                                 struct sticps_error *err) STICPS_MUST_CHECK;

/* Adds number `in_part` (below NPDB_SPOOL_PART_NUMBERS) of `part` with its owner (below 2^20). */
static inline enum sticps_err npdb_spool_add(struct npdb_spool *spool, uint32_t part,
                                             uint32_t in_part, uint32_t owner,
                                             struct sticps_error *err)
{
    if (spool->filled[part] == NPDB_SPOOL_EXTENT) {
        enum sticps_err code = npdb_spool_flush(spool, part, err);
        if (code != STICPS_OK)
            return code;
    }
    unsigned char *to = spool->rows + (size_t)part * NPDB_SPOOL_EXTENT + spool->filled[part];
    npdb_put32(to, in_part | owner << 20);
    to[4] = (unsigned char)(owner >> 12);
    spool->filled[part] = (uint16_t)(spool->filled[part] + NPDB_SPOOL_ROW);
    return STICPS_OK;
}

static inline uint32_t npdb_spool_number(const unsigned char *row)
{
    return npdb_get32(row) & 0xfffff;
}

static inline uint32_t npdb_spool_owner(const unsigned char *row)
{
    return npdb_get32(row) >> 20 | (uint32_t)row[4] << 12;
}

/* Where reading a part is. */
struct npdb_spool_reading {
    uint32_t part, extent; /* the next extent; 0: what is still in memory comes next */
    bool ended;
    unsigned char rows[NPDB_SPOOL_EXTENT];
};

void npdb_spool_begin(const struct npdb_spool *spool, uint32_t part,
                      struct npdb_spool_reading *reading);

/* The next rows of the part, borrowed until the next call; *bytes 0 at its end. STICPS_ERR_FILE. */
enum sticps_err npdb_spool_next(const struct npdb_spool *spool, struct npdb_spool_reading *reading,
                                const unsigned char **rows, size_t *bytes,
                                struct sticps_error *err) STICPS_MUST_CHECK;

#endif

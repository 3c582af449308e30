/* The CSV files of a build, one after the other, cut into pieces of whole lines. Called by
 * npdb_intake, in one thread. Files are read once and in order, so that pipes do. */
#ifndef CLIENT_NPDB_INPUT_H
#define CLIENT_NPDB_INPUT_H

#include "client/npdb_dialect.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Large enough that handing one out costs nothing, small enough to stay in a core's cache. */
#define NPDB_PIECE_SIZE ((size_t)256 * 1024)

struct npdb_input {
    const char *const *files; /* borrowed; those of blocks in front */
    size_t files_len, blocks_len;
    const struct npdb_csv_options *csv; /* borrowed */
    struct npdb_dialect *dialects;      /* one for each file, found when it is opened */
    size_t file;                        /* that is being read */
    int fd;                             /* -1 between files */
    bool begun;                         /* something of it was read */
    char *left; /* what follows the last piece: at most NPDB_PIECE_SIZE bytes */
    size_t left_len;
    uint64_t bytes;  /* read so far */
    uint64_t total;  /* of all files together; 0 when one of them is no regular file */
    bool can_repeat; /* all are regular files; known even after npdb_input_clear */
};

/* STICPS_ERR_NO_MEMORY. */
enum sticps_err npdb_input_start(struct npdb_input *input, const char *const *files,
                                 size_t files_len, size_t blocks_len,
                                 const struct npdb_csv_options *csv,
                                 struct sticps_error *err) STICPS_MUST_CHECK;

void npdb_input_clear(struct npdb_input *input);

/* Where a piece lies in the buffer that it was read into. */
struct npdb_span {
    size_t file, start, len;
    bool first;   /* of its file */
    bool unclear; /* what the columns are; the buffer says why, and the rest of the file is left */
};

/* Reads the next piece into `text`, which has NPDB_PIECE_SIZE bytes. *more becomes false when there
 * is none. STICPS_ERR_FILE. */
enum sticps_err npdb_input_next(struct npdb_input *input, char *text, struct npdb_span *span,
                                bool *more, struct sticps_error *err) STICPS_MUST_CHECK;

#endif

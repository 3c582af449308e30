#include "client/npdb_input.h"

#include "client/npdb_csv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void add_up(struct npdb_input *input)
{
    struct stat st;
    for (size_t i = 0; i < input->files_len; i++) {
        if (stat(input->files[i], &st) != 0 || !S_ISREG(st.st_mode)) {
            input->total = 0;
            return;
        }
        input->total += (uint64_t)st.st_size;
    }
    input->can_repeat = true;
}

enum sticps_err npdb_input_start(struct npdb_input *input, const char *const *files,
                                 size_t files_len, size_t blocks_len,
                                 const struct npdb_csv_options *csv, struct sticps_error *err)
{
    memset(input, 0, sizeof(*input));
    input->files = files;
    input->files_len = files_len;
    input->blocks_len = blocks_len;
    input->csv = csv;
    input->fd = -1;
    input->dialects = calloc(files_len + 1, sizeof(*input->dialects));
    input->left = malloc(NPDB_PIECE_SIZE);
    if (input->dialects == NULL || input->left == NULL) {
        npdb_input_clear(input);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    add_up(input);
    return STICPS_OK;
}

static void close_file(struct npdb_input *input)
{
    if (input->fd >= 0)
        close(input->fd);
    input->fd = -1;
    input->left_len = 0;
}

void npdb_input_clear(struct npdb_input *input)
{
    close_file(input);
    free(input->dialects);
    free(input->left);
    input->dialects = NULL;
    input->left = NULL;
}

/* Up to `room` bytes, fewer only at the end of the file. -1 with errno. */
static ssize_t read_full(struct npdb_input *input, char *text, size_t room)
{
    size_t len = 0;
    while (len < room) {
        ssize_t n = read(input->fd, text + len, room - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        len += (size_t)n;
        input->bytes += (size_t)n;
    }
    return (ssize_t)len;
}

static enum sticps_err cannot_read(const struct npdb_input *input, struct sticps_error *err)
{
    return fail(err, STICPS_ERR_FILE, input->files[input->file], "cannot read: %s",
                strerror(errno));
}

/* Throws away what is left of a line that is longer than a piece. */
static bool skip_line(struct npdb_input *input)
{
    for (;;) {
        ssize_t n = read_full(input, input->left, NPDB_PIECE_SIZE);
        if (n <= 0)
            return n == 0;
        const char *newline = memchr(input->left, '\n', (size_t)n);
        if (newline != NULL) {
            size_t used = (size_t)(newline + 1 - input->left);
            input->left_len = (size_t)n - used;
            memmove(input->left, input->left + used, input->left_len);
            return true;
        }
    }
}

/* The piece ends behind the last line that is whole; what follows is left for the next. */
static bool cut(struct npdb_input *input, const char *text, size_t len, struct npdb_span *span)
{
    const char *newline = memrchr(text + span->start, '\n', len - span->start);
    input->left_len = 0;
    if (newline == NULL) {
        if (span->len > NPDB_CSV_MAX_LINE + 1)
            span->len = NPDB_CSV_MAX_LINE + 1; /* enough to be told as too long */
        return skip_line(input);
    }
    span->len = (size_t)(newline + 1 - text) - span->start;
    input->left_len = len - span->start - span->len;
    memcpy(input->left, newline + 1, input->left_len);
    return true;
}

static void begin_file(struct npdb_input *input, char *text, size_t len, struct npdb_span *span)
{
    struct npdb_dialect *dialect = &input->dialects[input->file];
    enum npdb_csv_kind kind = input->file < input->blocks_len ? NPDB_CSV_BLOCKS : NPDB_CSV_PORTS;
    struct sticps_error err;
    input->begun = true;
    if (npdb_dialect_find(input->csv, kind, text, len, dialect, &err) == STICPS_OK) {
        span->start = dialect->body;
        return;
    }
    dialect->body_line = 0;
    span->unclear = true;
    memcpy(text, err.text, sizeof(err.text));
}

/* The next piece of the open file; *ended when it has none. */
static enum sticps_err next_of_file(struct npdb_input *input, char *text, struct npdb_span *span,
                                    bool *ended, struct sticps_error *err)
{
    size_t len = input->left_len;
    memcpy(text, input->left, len);
    ssize_t n = read_full(input, text + len, NPDB_PIECE_SIZE - len);
    if (n < 0)
        return cannot_read(input, err);
    len += (size_t)n;
    *ended = len == 0;
    *span = (struct npdb_span){.file = input->file, .first = !input->begun};
    if (span->first && !*ended)
        begin_file(input, text, len, span);
    if (span->unclear) {
        close_file(input);
        input->file++;
        return STICPS_OK;
    }
    span->len = len - span->start;
    input->left_len = 0;
    if (len == NPDB_PIECE_SIZE && !cut(input, text, len, span))
        return cannot_read(input, err);
    return STICPS_OK;
}

enum sticps_err npdb_input_next(struct npdb_input *input, char *text, struct npdb_span *span,
                                bool *more, struct sticps_error *err)
{
    for (; input->file < input->files_len; input->file++) {
        const char *name = input->files[input->file];
        if (input->fd < 0) {
            input->fd = open(name, O_RDONLY | O_CLOEXEC);
            input->begun = false;
            if (input->fd < 0)
                return fail(err, STICPS_ERR_FILE, name, "cannot open: %s", strerror(errno));
        }
        bool ended = false;
        enum sticps_err code = next_of_file(input, text, span, &ended, err);
        if (code != STICPS_OK || !ended) {
            *more = true;
            return code;
        }
        close_file(input);
    }
    *more = false;
    return STICPS_OK;
}

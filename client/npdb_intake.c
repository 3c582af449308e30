#include "client/npdb_intake.h"

#include "client/crew.h"
#include "client/npdb_rows.h"
#include "client/npdb_spool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 512u
#define CACHE_SIZE 16384u /* a power of two */

/* Owners that a worker has asked for before, so that it need not wait for the others. */
struct owner_cache {
    uint64_t code[CACHE_SIZE];
    uint32_t index[CACHE_SIZE];
};

struct run {
    const struct npdb_intake *intake;
    pthread_mutex_t mutex; /* of the owners */
    struct owner_cache *caches;
};

static enum sticps_err no_memory(struct sticps_error *err)
{
    return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
}

/* ---- owners ---- */

static enum sticps_err ask_owners(struct run *run, uint64_t code, uint32_t *index,
                                  struct sticps_error *err)
{
    pthread_mutex_lock(&run->mutex);
    enum sticps_err failed = npdb_owners_add(run->intake->owners, code, index, err);
    pthread_mutex_unlock(&run->mutex);
    return failed;
}

static enum sticps_err owner_index(struct run *run, struct owner_cache *cache, uint64_t code,
                                   uint32_t *index, struct sticps_error *err)
{
    uint32_t at = (uint32_t)(code * UINT64_C(0x9e3779b97f4a7c15) >> 50) & (CACHE_SIZE - 1);
    if (cache->code[at] != code) {
        enum sticps_err failed = ask_owners(run, code, index, err);
        if (failed != STICPS_OK)
            return failed;
        cache->code[at] = code;
        cache->index[at] = *index;
    }
    *index = cache->index[at];
    return STICPS_OK;
}

/* ---- rows ---- */

static enum sticps_err make_room(struct npdb_piece *piece, struct sticps_error *err)
{
    if (piece->ported_capacity - piece->ported_len < BATCH) {
        size_t capacity = piece->ported_capacity == 0 ? 16384 : piece->ported_capacity * 2;
        uint64_t *grown = reallocarray(piece->ported, capacity, sizeof(*grown));
        if (grown == NULL)
            return no_memory(err);
        piece->ported = grown;
        piece->ported_capacity = capacity;
    }
    if (piece->rows_capacity - piece->rows_len < BATCH) {
        size_t capacity = piece->rows_capacity == 0 ? 1024 : piece->rows_capacity * 2;
        struct npdb_piece_row *grown = reallocarray(piece->rows, capacity, sizeof(*grown));
        if (grown == NULL)
            return no_memory(err);
        piece->rows = grown;
        piece->rows_capacity = capacity;
    }
    return STICPS_OK;
}

static int by_key(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static bool is_wanted(const struct npdb_intake *intake, uint64_t number)
{
    return bsearch(&number, intake->wanted, intake->wanted_len, sizeof(number), by_key) != NULL;
}

static enum sticps_err add_row(struct run *run, struct owner_cache *cache, struct npdb_piece *piece,
                               const struct npdb_csv_row *row, bool is_block,
                               struct sticps_error *err)
{
    uint32_t owner = NPDB_ROW_ENDED;
    if (row->owner != NPDB_ENDED) {
        enum sticps_err code = owner_index(run, cache, row->owner, &owner, err);
        if (code != STICPS_OK)
            return code;
    }
    uint64_t plan = is_block || run->intake->wanted != NULL ? 0 : npdb_plan_number(row->number);
    if (plan != 0) {
        uint64_t number = plan - UINT64_C(2000000000);
        uint64_t part = number / NPDB_SPOOL_PART_NUMBERS,
                 in_part = number % NPDB_SPOOL_PART_NUMBERS;
        piece->ported[piece->ported_len++] = part << 40 | in_part << 20 | owner;
    } else {
        piece->rows[piece->rows_len++] =
            (struct npdb_piece_row){row->number, owner, row->line, row->since};
    }
    return STICPS_OK;
}

static void on_fault(uint32_t line, const char *what, void *arg)
{
    struct npdb_piece *piece = arg;
    if (piece->faults < NPDB_MAX_REPORTED_FAULTS) {
        piece->fault[piece->faults].line = line;
        char *to = piece->fault[piece->faults].what;
        size_t len = strnlen(what, sizeof(piece->fault[0].what) - 1);
        memcpy(to, what, len);
        to[len] = '\0';
    }
    piece->faults++;
}

static enum sticps_err parse(struct run *run, struct owner_cache *cache, struct npdb_piece *piece,
                             struct sticps_error *err)
{
    const struct npdb_dialect *dialect = &run->intake->input->dialects[piece->span.file];
    bool is_block = dialect->kind == NPDB_CSV_BLOCKS, pick = run->intake->wanted != NULL;
    struct npdb_csv_row batch[BATCH];
    struct npdb_csv csv;
    enum sticps_err code = STICPS_OK;
    npdb_csv_init(&csv, dialect, piece->text + piece->span.start, piece->span.len, on_fault, piece);
    for (size_t count = BATCH; code == STICPS_OK && count == BATCH;) {
        code = make_room(piece, err);
        if (code != STICPS_OK)
            break;
        count = npdb_csv_read(&csv, batch, BATCH);
        for (size_t i = 0; code == STICPS_OK && i < count; i++)
            if (!pick || is_wanted(run->intake, batch[i].number))
                code = add_row(run, cache, piece, &batch[i], is_block, err);
    }
    piece->lines = csv.lines;
    piece->ended = csv.ended;
    piece->skipped = csv.skipped;
    piece->future = csv.future;
    return code;
}

/* ---- the crew ---- */

static enum sticps_err feed(void *arg, void *job, bool *more, struct sticps_error *err)
{
    struct run *run = arg;
    struct npdb_piece *piece = job;
    return npdb_input_next(run->intake->input, piece->text, &piece->span, more, err);
}

static void work(void *arg, unsigned worker, void *job)
{
    struct run *run = arg;
    struct npdb_piece *piece = job;
    piece->ported_len = piece->rows_len = 0;
    piece->faults = 0;
    piece->ended = piece->skipped = piece->future = 0;
    piece->lines = 0;
    piece->code = STICPS_OK;
    if (piece->span.unclear)
        on_fault(0, piece->text, piece);
    else
        piece->code = parse(run, &run->caches[worker], piece, &piece->err);
}

static enum sticps_err collect(void *arg, void *job, struct sticps_error *err)
{
    struct run *run = arg;
    const struct npdb_piece *piece = job;
    if (piece->code != STICPS_OK)
        return fail(err, piece->code, piece->err.where, "%s", piece->err.text);
    return run->intake->take(run->intake->arg, piece, err);
}

static struct npdb_piece *pieces_new(size_t len)
{
    struct npdb_piece *pieces = calloc(len, sizeof(*pieces));
    bool ok = pieces != NULL;
    for (size_t i = 0; ok && i < len; i++) {
        pieces[i].text = malloc(NPDB_PIECE_SIZE);
        ok = pieces[i].text != NULL;
    }
    if (ok || pieces == NULL)
        return pieces;
    for (size_t i = 0; i < len; i++)
        free(pieces[i].text);
    free(pieces);
    return NULL;
}

static void pieces_free(struct npdb_piece *pieces, size_t len)
{
    for (size_t i = 0; pieces != NULL && i < len; i++) {
        free(pieces[i].text);
        free(pieces[i].ported);
        free(pieces[i].rows);
    }
    free(pieces);
}

static struct owner_cache *caches_new(size_t len)
{
    struct owner_cache *caches = malloc(len * sizeof(*caches));
    for (size_t i = 0; caches != NULL && i < len; i++)
        for (size_t at = 0; at < CACHE_SIZE; at++) {
            caches[i].code[at] = NPDB_UNKNOWN; /* which no row says */
            caches[i].index[at] = NPDB_OWNER_UNKNOWN;
        }
    return caches;
}

enum sticps_err npdb_intake_run(const struct npdb_intake *intake, struct sticps_error *err)
{
    size_t caches = intake->workers > 0 ? intake->workers : 1, pieces = 2 * intake->workers + 1;
    struct run run = {.intake = intake, .caches = caches_new(caches)};
    struct crew crew = {.jobs = pieces_new(pieces),
                        .job_size = sizeof(struct npdb_piece),
                        .jobs_len = pieces,
                        .workers = intake->workers,
                        .feed = feed,
                        .work = work,
                        .collect = collect,
                        .arg = &run};
    enum sticps_err code;
    pthread_mutex_init(&run.mutex, NULL);
    if (run.caches == NULL || crew.jobs == NULL)
        code = no_memory(err);
    else
        code = crew_run(&crew, err);
    pthread_mutex_destroy(&run.mutex);
    pieces_free(crew.jobs, pieces);
    free(run.caches);
    return code;
}

#include "client/npdb_build.h"

#include "client/crew.h"
#include "client/npdb_assemble.h"
#include "client/npdb_contradictions.h"
#include "client/npdb_intake.h"
#include "client/npdb_rows.h"
#include "client/npdb_spool.h"
#include "common/tn.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct build {
    const struct npdb_build_options *options;
    struct npdb_build_stats stats;
    struct sticps_error first_fault;
    unsigned workers;
    const char **files; /* those of blocks, then those of ports */
    size_t files_len;
    struct npdb *base; /* NULL without one */
    struct npdb_csv_options csv;
    struct npdb_input input;
    struct npdb_owners owners;
    struct npdb_rows blocks; /* and ported numbers outside the plan */
    struct npdb_rows others;
    struct npdb_spool spool;
    struct npdb_prefix *prefixes;
    size_t prefixes_len;
    uint64_t rows;         /* taken */
    uint64_t first_line;   /* lines in front of the piece that comes next */
    pthread_mutex_t mutex; /* of what follows, while NPAs are filled */
    struct npdb_contradictions contradictions;
};

static enum sticps_err no_memory(struct sticps_error *err)
{
    return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
}

/* ---- faults ---- */

/* `file` may be NULL, for a fault whose place is not known. */
static void report(struct build *build, const char *file, uint64_t line, const char *what)
{
    const struct npdb_build_options *options = build->options;
    if (build->stats.faults++ == 0) {
        char where[sizeof(build->first_fault.where)] = "";
        size_t len = file != NULL ? strlen(file) : 0, room = sizeof(where) - 24;
        if (file != NULL)
            snprintf(where, sizeof(where), "%s:%" PRIu64, len > room ? file + len - room : file,
                     line);
        fail(&build->first_fault, STICPS_ERR_NPDB, where, "%s", what);
    }
    if (build->stats.faults <= NPDB_MAX_REPORTED_FAULTS && options->on_fault != NULL)
        options->on_fault(file != NULL ? file : "", line, what, options->arg);
}

static enum sticps_err faults_found(const struct build *build, struct sticps_error *err)
{
    const struct sticps_error *first = &build->first_fault;
    if (build->stats.faults == 1)
        return fail(err, STICPS_ERR_NPDB, first->where, "%s", first->text);
    return fail(err, STICPS_ERR_NPDB, first->where, "%s (and %" PRIu64 " more rows are wrong)",
                first->text, build->stats.faults - 1);
}

static void report_contradiction(struct build *build, uint64_t number, uint32_t first_owner,
                                 size_t first_file, uint64_t first_line, uint32_t owner,
                                 size_t file, uint64_t line)
{
    struct tn tn;
    char was[NPDB_OWNER_TEXT], is[NPDB_OWNER_TEXT], what[512];
    tn_from_key(number, &tn);
    npdb_owner_text(build->owners.codes[first_owner], was);
    npdb_owner_text(build->owners.codes[owner], is);
    snprintf(what, sizeof(what), "%s has %s here but %s at %s:%" PRIu64, tn.digits, is, was,
             build->files[first_file], first_line);
    report(build, build->files[file], line, what);
}

/* ---- reading ---- */

static enum sticps_err take_rows(struct build *build, const struct npdb_piece *piece,
                                 struct sticps_error *err)
{
    bool is_blocks = piece->span.file < build->options->blocks_len;
    struct npdb_rows *rows = is_blocks ? &build->blocks : &build->others;
    enum sticps_err code = STICPS_OK;
    for (size_t i = 0; code == STICPS_OK && i < piece->rows_len; i++) {
        const struct npdb_piece_row *row = &piece->rows[i];
        code = npdb_rows_add(rows, row->number, row->owner, row->since, piece->span.file,
                             build->first_line + row->line + 1, err);
    }
    for (size_t i = 0; code == STICPS_OK && i < piece->ported_len; i++) {
        uint64_t ported = piece->ported[i];
        code = npdb_spool_add(&build->spool, npdb_ported_part(ported), npdb_ported_in_part(ported),
                              npdb_ported_owner(ported), err);
    }
    build->rows += piece->rows_len + piece->ported_len;
    return code;
}

static void start_lines(struct build *build, const struct npdb_piece *piece)
{
    if (piece->span.first)
        build->first_line = build->input.dialects[piece->span.file].body_line;
}

static void show(const struct build *build, enum sticps_npdb_stage stage, uint64_t done,
                 uint64_t total)
{
    if (build->options->on_progress != NULL)
        build->options->on_progress(stage, done, total, build->rows, build->options->progress_arg);
}

static enum sticps_err take(void *arg, const struct npdb_piece *piece, struct sticps_error *err)
{
    struct build *build = arg;
    start_lines(build, piece);
    for (size_t i = 0; i < piece->faults && i < NPDB_MAX_REPORTED_FAULTS; i++)
        report(build, build->files[piece->span.file], build->first_line + piece->fault[i].line + 1,
               piece->fault[i].what);
    if (piece->faults > NPDB_MAX_REPORTED_FAULTS)
        build->stats.faults += piece->faults - NPDB_MAX_REPORTED_FAULTS;
    uint64_t limit = build->options->fault_limit;
    if (limit > 0 && build->stats.faults >= limit)
        return faults_found(build, err);
    enum sticps_err code = take_rows(build, piece, err);
    build->first_line += piece->lines;
    build->stats.ended += piece->ended;
    build->stats.future += piece->future;
    build->stats.skipped += piece->skipped;
    show(build, STICPS_NPDB_READING, build->input.bytes, build->input.total);
    return code;
}

/* Reads all files, from the beginning. */
static enum sticps_err read_files(struct build *build, struct npdb_intake *intake,
                                  struct sticps_error *err)
{
    enum sticps_err code = npdb_input_start(&build->input, build->files, build->files_len,
                                            build->options->blocks_len, &build->csv, err);
    if (code != STICPS_OK)
        return code;
    intake->input = &build->input;
    intake->owners = &build->owners;
    intake->workers = build->workers;
    code = npdb_intake_run(intake, err);
    npdb_input_clear(&build->input);
    return code;
}

/* ---- rows in memory ---- */

static void on_conflict(const struct npdb_row *first, const struct npdb_row *second, void *arg)
{
    report_contradiction(arg, npdb_row_key(second), first->owner, npdb_row_file(first), first->line,
                         second->owner, npdb_row_file(second), second->line);
}

static void settle(struct build *build)
{
    struct npdb_conflicts conflicts = {
        .last_wins = build->options->last_wins, .on_conflict = on_conflict, .arg = build};
    npdb_rows_settle(&build->blocks, &conflicts);
    npdb_rows_settle(&build->others, &conflicts);
    build->stats.duplicates = conflicts.duplicates;
    build->stats.overridden = conflicts.overridden;
    build->stats.superseded = conflicts.superseded;
    build->stats.ended += conflicts.ended;
}

static int by_key(const void *a, const void *b)
{
    const struct npdb_prefix *x = a, *y = b;
    return (x->key > y->key) - (x->key < y->key);
}

static void add_prefixes(struct build *build, const struct npdb_rows *rows, unsigned ported)
{
    for (size_t i = 0; i < rows->len; i++) {
        uint64_t key = npdb_row_key(&rows->rows[i]);
        build->prefixes[build->prefixes_len++] =
            (struct npdb_prefix){npdb_prefix_key(key >> 4, key & 15, ported), rows->rows[i].owner};
    }
}

static enum sticps_err make_prefixes(struct build *build, struct sticps_error *err)
{
    build->prefixes = calloc(build->blocks.len + build->others.len + 1, sizeof(*build->prefixes));
    if (build->prefixes == NULL)
        return no_memory(err);
    add_prefixes(build, &build->blocks, 0);
    add_prefixes(build, &build->others, 1);
    qsort(build->prefixes, build->prefixes_len, sizeof(*build->prefixes), by_key);
    npdb_rows_clear(&build->blocks);
    npdb_rows_clear(&build->others);
    if (build->base == NULL)
        return STICPS_OK;
    struct npdb_prefix *changes = build->prefixes;
    build->prefixes = NULL;
    enum sticps_err code =
        npdb_base_prefixes(build->base, changes, build->prefixes_len, &build->prefixes,
                           &build->prefixes_len, &build->stats.changes, err);
    free(changes);
    return code;
}

/* ---- ported numbers ---- */

/* What the rows of one NPA came to. */
struct tally {
    uint64_t duplicates, overridden;
    struct npdb_contradictions contradictions;
    struct npdb_changes changes;
};

static enum sticps_err fill_rows(const struct build *build, struct npdb_npa *npa, uint32_t part,
                                 const unsigned char *rows, size_t bytes, struct tally *tally,
                                 struct sticps_error *err)
{
    /* A part's first number, in the NPA and as a whole. */
    const uint32_t base = (part % 10 - 2) * NPDB_SPOOL_PART_NUMBERS;
    const uint64_t whole = UINT64_C(12000000000) + (uint64_t)part * NPDB_SPOOL_PART_NUMBERS;
    for (const unsigned char *row = rows; row < rows + bytes; row += NPDB_SPOOL_ROW) {
        uint32_t in_part = npdb_spool_number(row), local;
        enum sticps_err code = npdb_npa_local(npa, npdb_spool_owner(row), &local, err);
        if (code != STICPS_OK)
            return code;
        uint32_t held = npa->numbers[base + in_part];
        if (held == NPDB_NOT_PORTED) {
            npdb_npa_set(npa, base + in_part, local);
        } else if (held == local) {
            tally->duplicates++;
        } else if (build->options->last_wins) {
            tally->overridden++;
            npdb_npa_set(npa, base + in_part, local);
        } else {
            npdb_contradictions_add(&tally->contradictions, (whole + in_part) << 4 | 11);
        }
    }
    return STICPS_OK;
}

static enum sticps_err fill_part(const struct build *build, struct npdb_npa *npa, uint32_t part,
                                 struct tally *tally, struct sticps_error *err)
{
    struct npdb_spool_reading reading;
    const unsigned char *rows;
    size_t bytes = 1;
    npdb_spool_begin(&build->spool, part, &reading);
    enum sticps_err code = STICPS_OK;
    while (code == STICPS_OK && bytes > 0) {
        code = npdb_spool_next(&build->spool, &reading, &rows, &bytes, err);
        if (code == STICPS_OK)
            code = fill_rows(build, npa, part, rows, bytes, tally, err);
    }
    return code;
}

static enum sticps_err fill(void *arg, struct npdb_npa *npa, struct sticps_error *err)
{
    struct build *build = arg;
    struct tally tally = {.duplicates = 0};
    enum sticps_err code = STICPS_OK;
    for (uint32_t digit = 2; code == STICPS_OK && digit < 10; digit++)
        code = fill_part(build, npa, (npa->npa - 200) * 10 + digit, &tally, err);
    if (code == STICPS_OK && build->base != NULL)
        code = npdb_base_fill(build->base, npa, &tally.changes, err);
    pthread_mutex_lock(&build->mutex);
    npdb_changes_join(&build->stats.changes, &tally.changes);
    build->stats.duplicates += tally.duplicates;
    build->stats.overridden += tally.overridden;
    npdb_contradictions_join(&build->contradictions, &tally.contradictions);
    pthread_mutex_unlock(&build->mutex);
    return code;
}

static void on_assembled(void *arg, unsigned done)
{
    show(arg, STICPS_NPDB_ASSEMBLING, done, NPDB_NPA_COUNT);
}

/* ---- contradictions ---- */

struct said {
    bool is_known;
    uint32_t owner;
    size_t file;
    uint64_t line;
};

struct second_look {
    struct build *build;
    struct said said[NPDB_MAX_CONTRADICTED]; /* first of each number */
};

static enum sticps_err take_again(void *arg, const struct npdb_piece *piece,
                                  struct sticps_error *err)
{
    struct second_look *look = arg;
    struct build *build = look->build;
    (void)err;
    start_lines(build, piece);
    for (size_t i = 0; i < piece->rows_len && piece->span.file >= build->options->blocks_len; i++) {
        const struct npdb_piece_row *row = &piece->rows[i];
        uint64_t line = build->first_line + row->line + 1;
        size_t which = 0;
        while (build->contradictions.number[which] != row->number)
            which++;
        struct said *said = &look->said[which];
        if (!said->is_known) {
            *said = (struct said){true, row->owner, piece->span.file, line};
        } else if (said->owner != row->owner) {
            report_contradiction(build, row->number, said->owner, said->file, said->line,
                                 row->owner, piece->span.file, line);
        }
    }
    build->first_line += piece->lines;
    return STICPS_OK;
}

/* Where a file cannot be read a second time, as a pipe, the numbers have to do. */
static void report_without_lines(struct build *build)
{
    for (size_t i = 0; i < build->contradictions.len; i++) {
        struct tn tn;
        char what[128];
        tn_from_key(build->contradictions.number[i], &tn);
        snprintf(what, sizeof(what),
                 "%s has different owners in two rows of ports; read from files, not from a pipe, "
                 "to see which",
                 tn.digits);
        report(build, NULL, 0, what);
    }
}

static enum sticps_err find_contradictions(struct build *build, struct sticps_error *err)
{
    uint64_t before = build->stats.faults;
    struct second_look look = {.build = build};
    struct npdb_intake intake = {.take = take_again,
                                 .arg = &look,
                                 .wanted = build->contradictions.number,
                                 .wanted_len = build->contradictions.len};
    enum sticps_err code = STICPS_OK;
    if (build->input.can_repeat)
        code = read_files(build, &intake, err);
    if (code == STICPS_OK && build->stats.faults == before)
        report_without_lines(build);
    build->stats.faults = before + build->contradictions.rows;
    return code == STICPS_OK ? faults_found(build, err) : code;
}

/* ---- the whole ---- */

static enum sticps_err accept(void *arg, struct sticps_error *err)
{
    struct build *build = arg;
    return build->contradictions.rows > 0 ? faults_found(build, err) : STICPS_OK;
}

static uint64_t sequence(const struct build *build)
{
    uint64_t asked = build->options->sequence;
    return asked != 0 || build->base == NULL ? asked : npdb_sequence(build->base) + 1;
}

static enum sticps_err assemble(struct build *build, struct sticps_error *err)
{
    const struct npdb_assembly assembly = {
        .owners = &build->owners,
        .prefixes = build->prefixes,
        .prefixes_len = build->prefixes_len,
        .fill = fill,
        .accept = accept,
        .progress = on_assembled,
        .arg = build,
        .workers = build->workers,
        .sequence = sequence(build),
        .base_ports = build->base != NULL ? npdb_get64(build->base->data + NPDB_AT_PORTS) : 0,
        .output = build->options->output,
    };
    struct npdb_assembled made;
    enum sticps_err code = npdb_assemble(&assembly, &made, err);
    build->stats.bytes = made.bytes;
    build->stats.blocks = made.blocks;
    build->stats.ports = made.ports;
    build->stats.spcs = made.spcs;
    build->stats.lrns = made.lrns;
    build->stats.lrns_without_owner = made.lrns_without_owner;
    return code;
}

static enum sticps_err name_files(struct build *build, struct sticps_error *err)
{
    const struct npdb_build_options *options = build->options;
    build->files_len = options->blocks_len + options->ports_len;
    if (build->files_len > NPDB_MAX_FILES)
        return fail(err, STICPS_ERR_USAGE, NULL, "%zu files are too many; the most is %d",
                    build->files_len, NPDB_MAX_FILES);
    build->files = calloc(build->files_len + 1, sizeof(*build->files));
    if (build->files == NULL)
        return no_memory(err);
    for (size_t i = 0; i < build->files_len; i++)
        build->files[i] =
            i < options->blocks_len ? options->blocks[i] : options->ports[i - options->blocks_len];
    return STICPS_OK;
}

/* What was damaged is not passed on under new checksums, so all of them are checked. */
static enum sticps_err open_base(struct build *build, struct sticps_error *err)
{
    enum sticps_err code = npdb_open(build->options->base, NPDB_CHECK_ALL, &build->base, err);
    return code == STICPS_OK ? npdb_base_owners(build->base, &build->owners, err) : code;
}

static enum sticps_err run(struct build *build, struct sticps_error *err)
{
    struct npdb_intake intake = {.take = take, .arg = build};
    enum sticps_err code = name_files(build, err);
    if (code == STICPS_OK)
        code = npdb_owners_start(&build->owners, err);
    if (code == STICPS_OK && build->options->base != NULL)
        code = open_base(build, err);
    if (code == STICPS_OK)
        code = npdb_spool_start(&build->spool, build->options->output, err);
    if (code == STICPS_OK)
        code = read_files(build, &intake, err);
    if (code == STICPS_OK) {
        settle(build);
        code = build->stats.faults > 0 ? faults_found(build, err) : make_prefixes(build, err);
    }
    if (code != STICPS_OK)
        return code;
    code = assemble(build, err);
    if (build->contradictions.rows > 0)
        code = find_contradictions(build, err);
    return code;
}

enum sticps_err npdb_build(const struct npdb_build_options *options, struct npdb_build_stats *stats,
                           struct sticps_error *err)
{
    struct build build = {
        .options = options,
        .workers = crew_workers(options->threads),
    };
    if (options->csv != NULL)
        build.csv = *options->csv;
    build.csv.changes = options->base != NULL;
    pthread_mutex_init(&build.mutex, NULL);
    enum sticps_err code = run(&build, err);
    if (stats != NULL)
        *stats = build.stats;
    pthread_mutex_destroy(&build.mutex);
    free(build.files);
    free(build.prefixes);
    npdb_close(build.base);
    npdb_owners_clear(&build.owners);
    npdb_rows_clear(&build.blocks);
    npdb_rows_clear(&build.others);
    npdb_spool_clear(&build.spool);
    return code;
}

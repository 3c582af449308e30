#include "client/npdb_build.h"

#include "client/npdb_csv.h"
#include "client/npdb_owners.h"
#include "client/npdb_rows.h"
#include "client/npdb_write.h"
#include "client/npdb_reader.h"
#include "common/tn.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct build {
    const struct npdb_build_options *options;
    struct npdb_build_stats stats;
    struct npdb_owners owners;
    struct npdb_rows blocks, ports;
    struct sticps_error first_fault;
};

/* Files are numbered through: first those of blocks, then those of ports. */
static const char *file_name(const struct npdb_build_options *options, size_t file)
{
    return file < options->blocks_len ? options->blocks[file]
                                      : options->ports[file - options->blocks_len];
}

static void report(struct build *build, size_t file, uint64_t line, const char *what)
{
    const struct npdb_build_options *options = build->options;
    const char *name = file_name(options, file);
    if (build->stats.faults++ == 0) {
        char where[sizeof(build->first_fault.where)];
        size_t len = strlen(name), room = sizeof(where) - 24;
        snprintf(where, sizeof(where), "%s:%" PRIu64, len > room ? name + len - room : name, line);
        fail(&build->first_fault, STICPS_ERR_NPDB, where, "%s", what);
    }
    if (build->stats.faults <= NPDB_MAX_REPORTED_FAULTS && options->on_fault != NULL)
        options->on_fault(name, line, what, options->arg);
}

/* ---- files ---- */

#define PIECE (1024 * 1024)
#define BATCH 512

struct reading {
    struct build *build;
    size_t file;
    uint64_t lines; /* in front of the piece */
};

static void on_fault(uint32_t line, const char *what, void *arg)
{
    struct reading *reading = arg;
    report(reading->build, reading->file, reading->lines + line + 1, what);
}

static enum sticps_err read_piece(struct reading *reading, const struct npdb_dialect *dialect,
                                  const char *text, size_t len, struct sticps_error *err)
{
    struct build *build = reading->build;
    struct npdb_rows *rows = dialect->kind == NPDB_CSV_BLOCKS ? &build->blocks : &build->ports;
    struct npdb_csv_row batch[BATCH];
    struct npdb_csv csv;
    size_t count = BATCH;
    npdb_csv_init(&csv, dialect, text, len, on_fault, reading);
    while (count == BATCH) {
        count = npdb_csv_read(&csv, batch, BATCH);
        for (size_t i = 0; i < count; i++) {
            uint32_t owner = NPDB_ROW_ENDED;
            enum sticps_err code = STICPS_OK;
            if (batch[i].owner != NPDB_ENDED)
                code = npdb_owners_add(&build->owners, batch[i].owner, &owner, err);
            if (code == STICPS_OK)
                code = npdb_rows_add(rows, batch[i].number, owner, batch[i].since, reading->file,
                                     reading->lines + batch[i].line + 1, err);
            if (code != STICPS_OK)
                return code;
        }
    }
    reading->lines += csv.lines;
    build->stats.ended += csv.ended;
    build->stats.future += csv.future;
    build->stats.skipped += csv.skipped;
    return STICPS_OK;
}

/* The rest of a line that is longer than a piece. */
static void skip_line(FILE *stream)
{
    for (int c = 0; c != EOF && c != '\n';)
        c = getc_unlocked(stream);
}

static enum sticps_err read_pieces(struct reading *reading, FILE *stream, char *buffer,
                                   struct sticps_error *err)
{
    bool is_blocks = reading->file < reading->build->options->blocks_len;
    static const struct npdb_csv_options plain;
    const struct npdb_csv_options *csv = reading->build->options->csv;
    struct npdb_dialect dialect;
    struct sticps_error fault;
    enum sticps_err code = STICPS_OK;
    size_t len = 0, got;
    bool first = true;
    while (code == STICPS_OK && (got = fread(buffer + len, 1, PIECE - len, stream)) + len > 0) {
        size_t whole = len + got, start = 0;
        if (first) {
            code = npdb_dialect_find(csv != NULL ? csv : &plain,
                                     is_blocks ? NPDB_CSV_BLOCKS : NPDB_CSV_PORTS, buffer, whole,
                                     &dialect, &fault);
            if (code != STICPS_OK) {
                report(reading->build, reading->file, 1, fault.text);
                return STICPS_OK;
            }
            start = dialect.body;
            reading->lines = dialect.body_line;
            first = false;
        }
        len += got;
        if (got > 0) {
            const char *newline = memrchr(buffer + start, '\n', len - start);
            if (newline != NULL) {
                whole = (size_t)(newline - buffer) + 1;
            } else if (len == PIECE) {
                skip_line(stream);
                whole = start + NPDB_CSV_MAX_LINE + 1;
                len = whole;
            } else {
                whole = start;
            }
        }
        code = read_piece(reading, &dialect, buffer + start, whole - start, err);
        len -= whole;
        memmove(buffer, buffer + whole, len);
        if (got == 0)
            break;
    }
    if (code == STICPS_OK && ferror(stream))
        return fail(err, STICPS_ERR_FILE, file_name(reading->build->options, reading->file),
                    "cannot read: %s", strerror(errno));
    return code;
}

static enum sticps_err read_csv(struct build *build, size_t file, struct sticps_error *err)
{
    struct reading reading = {build, file, 0};
    const char *name = file_name(build->options, file);
    FILE *stream = fopen(name, "re");
    if (stream == NULL)
        return fail(err, STICPS_ERR_FILE, name, "cannot open: %s", strerror(errno));
    char *buffer = malloc(PIECE);
    enum sticps_err code = buffer != NULL ? read_pieces(&reading, stream, buffer, err)
                                          : fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    free(buffer);
    fclose(stream);
    return code;
}

/* ---- the whole ---- */

static void on_conflict(const struct npdb_row *first, const struct npdb_row *second, void *arg)
{
    struct build *build = arg;
    struct tn tn;
    char was[NPDB_OWNER_TEXT], is[NPDB_OWNER_TEXT], what[512];
    tn_from_key(npdb_row_key(second), &tn);
    npdb_owner_text(build->owners.codes[first->owner], was);
    npdb_owner_text(build->owners.codes[second->owner], is);
    snprintf(what, sizeof(what), "%s has %s here but %s at %s:%" PRIu32, tn.digits, is, was,
             file_name(build->options, npdb_row_file(first)), first->line);
    report(build, npdb_row_file(second), second->line, what);
}

static void settle(struct build *build)
{
    struct npdb_conflicts conflicts = {
        .last_wins = build->options->last_wins, .on_conflict = on_conflict, .arg = build};
    npdb_rows_settle(&build->blocks, &conflicts);
    npdb_rows_settle(&build->ports, &conflicts);
    build->stats.duplicates = conflicts.duplicates;
    build->stats.overridden = conflicts.overridden;
    build->stats.superseded = conflicts.superseded;
    build->stats.ended += conflicts.ended;
}

static enum sticps_err faults_found(const struct build *build, struct sticps_error *err)
{
    const struct sticps_error *first = &build->first_fault;
    if (build->stats.faults == 1)
        return fail(err, STICPS_ERR_NPDB, first->where, "%s", first->text);
    return fail(err, STICPS_ERR_NPDB, first->where, "%s (and %" PRIu64 " more rows are wrong)",
                first->text, build->stats.faults - 1);
}

static void count(struct build *build, const struct npdb_image *image)
{
    struct npdb_figures owners;
    npdb_owner_figures(image->section[NPDB_OWNERS],
                       (uint32_t)(image->section_len[NPDB_OWNERS] / NPDB_OWNER_SIZE), &owners);
    build->stats.bytes = sizeof(image->header);
    for (size_t i = 0; i < NPDB_SECTIONS; i++)
        build->stats.bytes += image->section_len[i];
    build->stats.blocks = build->blocks.len;
    build->stats.ports = build->ports.len;
    build->stats.spcs = owners.spcs;
    build->stats.lrns = owners.lrns;
    build->stats.lrns_without_owner = owners.lrns_without_owner;
}

static enum sticps_err run(struct build *build, struct npdb_image *image, struct sticps_error *err)
{
    const struct npdb_build_options *options = build->options;
    enum sticps_err code = STICPS_OK;
    size_t files = options->blocks_len + options->ports_len;
    if (files > NPDB_MAX_FILES)
        return fail(err, STICPS_ERR_USAGE, NULL, "%zu files are too many; the most is %d", files,
                    NPDB_MAX_FILES);
    for (size_t file = 0; code == STICPS_OK && file < files; file++)
        code = read_csv(build, file, err);
    if (code != STICPS_OK)
        return code;
    settle(build);
    if (build->stats.faults > 0)
        return faults_found(build, err);
    code = npdb_image_make(image, &build->owners, &build->blocks, &build->ports, err);
    if (code != STICPS_OK)
        return code;
    count(build, image);
    return npdb_image_write(image, options->output, err);
}

enum sticps_err npdb_build(const struct npdb_build_options *options, struct npdb_build_stats *stats,
                           struct sticps_error *err)
{
    struct build build = {.options = options};
    struct npdb_image image = {.header = {0}};
    enum sticps_err code = run(&build, &image, err);
    if (stats != NULL)
        *stats = build.stats;
    npdb_image_clear(&image);
    npdb_owners_clear(&build.owners);
    npdb_rows_clear(&build.blocks);
    npdb_rows_clear(&build.ports);
    return code;
}

#include "client/npdb_build.h"

#include "client/npdb_csv.h"
#include "client/npdb_owners.h"
#include "client/npdb_rows.h"
#include "client/npdb_write.h"
#include "client/npdb_reader.h"
#include "common/spc.h"
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

/* ---- rows ---- */

/* What a row says: the key of its number or prefix, and its owner. */
struct meaning {
    uint64_t key;
    uint64_t owner;
};

static enum sticps_err parse_spc(const char *text, size_t len, uint64_t *code,
                                 struct sticps_error *err)
{
    struct spc spc;
    enum sticps_err failed = spc_from_typed(text, len, &spc, err);
    if (failed == STICPS_OK)
        *code = spc_key(&spc);
    return failed;
}

/* NPA-NXX or NPA-NXX-X, as the North American plan writes them: without the country code. */
static bool is_npa_nxx(const char *digits)
{
    size_t len = strlen(digits);
    return (len == 6 || len == 7) && digits[0] >= '2' && digits[3] >= '2';
}

static enum sticps_err parse_block(const struct npdb_csv *csv, struct meaning *out,
                                   struct sticps_error *err)
{
    struct tn prefix;
    enum sticps_err code = tn_from_typed(csv->field[0], csv->field_len[0], 0, &prefix, err);
    if (code != STICPS_OK)
        return code;
    if (csv->field[0][0] != '+' && is_npa_nxx(prefix.digits)) {
        memmove(prefix.digits + 1, prefix.digits, 7);
        prefix.digits[0] = '1';
    }
    out->key = tn_key(&prefix);
    if (csv->field_len[1] == 1 && csv->field[1][0] == '-') {
        out->owner = NPDB_NOBODY;
        return STICPS_OK;
    }
    return parse_spc(csv->field[1], csv->field_len[1], &out->owner, err);
}

/* Ten or eleven digits of North American form are an LRN, everything else has to be an SPC: that
 * has five characters at most, so the two cannot be mistaken for each other. */
static enum sticps_err parse_port(const struct npdb_csv *csv, struct meaning *out,
                                  struct sticps_error *err)
{
    struct tn tn, lrn;
    enum sticps_err code = tn_from_typed(csv->field[0], csv->field_len[0], 1, &tn, err);
    if (code != STICPS_OK)
        return code;
    if (tn.digits[0] == '1' && !tn_is_nanp(&tn))
        return fail(err, STICPS_ERR_TN, NULL,
                    "%s begins with country code 1 but is not [2-9]xx[2-9]xxxxxx after it",
                    tn.digits);
    out->key = tn_key(&tn);
    if (csv->field_len[1] <= 5)
        return parse_spc(csv->field[1], csv->field_len[1], &out->owner, err);
    if (tn_from_typed(csv->field[1], csv->field_len[1], 1, &lrn, NULL) != STICPS_OK ||
        !tn_is_nanp(&lrn))
        return fail(err, STICPS_ERR_NPDB, NULL,
                    "'%.*s' is neither an LRN (ten digits, [2-9]xx[2-9]xxxxxx) nor an SPC",
                    csv->field_len[1] < 32 ? (int)csv->field_len[1] : 32, csv->field[1]);
    if (tn_is_toll_free(&tn))
        return fail(err, STICPS_ERR_NPDB, NULL,
                    "the toll-free number %s has an LRN; give its Resp Org ID instead", tn.digits);
    out->owner = tn_key(&lrn);
    return STICPS_OK;
}

/* ---- files ---- */

static enum sticps_err read_rows(struct build *build, size_t file, struct npdb_csv *csv,
                                 struct sticps_error *err)
{
    bool is_blocks = file < build->options->blocks_len;
    struct sticps_error fault;
    struct meaning row;
    for (;;) {
        enum npdb_csv_result result = npdb_csv_next(csv, &fault);
        if (result == NPDB_CSV_END)
            return STICPS_OK;
        if (result == NPDB_CSV_FAILED)
            return fail(err, STICPS_ERR_FILE, file_name(build->options, file), "%s", fault.text);
        if (result == NPDB_CSV_BAD ||
            (is_blocks ? parse_block : parse_port)(csv, &row, &fault) != STICPS_OK) {
            report(build, file, csv->line, fault.text);
            continue;
        }
        uint32_t owner;
        enum sticps_err code = npdb_owners_add(&build->owners, row.owner, &owner, err);
        if (code == STICPS_OK)
            code = npdb_rows_add(is_blocks ? &build->blocks : &build->ports, row.key, owner, file,
                                 csv->line, err);
        if (code != STICPS_OK)
            return code;
    }
}

static enum sticps_err read_csv(struct build *build, size_t file, struct sticps_error *err)
{
    struct npdb_csv csv;
    const char *name = file_name(build->options, file);
    FILE *stream = fopen(name, "re");
    if (stream == NULL)
        return fail(err, STICPS_ERR_FILE, name, "cannot open: %s", strerror(errno));
    npdb_csv_init(&csv, stream);
    enum sticps_err code = read_rows(build, file, &csv, err);
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
    struct npdb_conflicts conflicts = {build->options->last_wins, 0, 0, on_conflict, build};
    npdb_rows_settle(&build->blocks, &conflicts);
    npdb_rows_settle(&build->ports, &conflicts);
    build->stats.duplicates = conflicts.duplicates;
    build->stats.overridden = conflicts.overridden;
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

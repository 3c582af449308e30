/* include/sticps/npdb.h over npdb_reader and npdb_build. */
#include "sticps/npdb.h"

#include "client/npdb_build.h"
#include "client/npdb_date.h"
#include "client/npdb_reader.h"
#include "client/npdb_rows.h"
#include "common/error.h"
#include "common/tn.h"

#include <stdlib.h>
#include <string.h>

/* ---- looking up ---- */

struct sticps_npdb {
    struct npdb *npdb;
};

enum sticps_err sticps_npdb_open(const char *path, int verify, struct sticps_npdb **out,
                                 struct sticps_error *err)
{
    struct sticps_npdb *handle = malloc(sizeof(*handle));
    if (handle == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    enum sticps_err code =
        npdb_open(path, verify ? NPDB_CHECK_ALL : NPDB_CHECK_STRUCTURE, &handle->npdb, err);
    if (code != STICPS_OK) {
        free(handle);
        return code;
    }
    *out = handle;
    return STICPS_OK;
}

void sticps_npdb_close(struct sticps_npdb *npdb)
{
    if (npdb == NULL)
        return;
    npdb_close(npdb->npdb);
    free(npdb);
}

enum sticps_err sticps_npdb_lookup(const struct sticps_npdb *npdb, const char *number,
                                   unsigned default_country, struct sticps_npdb_answer *out,
                                   struct sticps_error *err)
{
    struct tn tn;
    struct npdb_answer answer;
    enum sticps_err code = tn_from_typed(number, strlen(number), default_country, &tn, err);
    if (code != STICPS_OK)
        return code;
    npdb_lookup(npdb->npdb, &tn, &answer);
    memcpy(out->tn, tn.digits, sizeof(out->tn));
    memcpy(out->lrn, answer.lrn.digits, sizeof(out->lrn));
    memcpy(out->spc, answer.spc.text, sizeof(out->spc));
    out->ported = answer.ported;
    return STICPS_OK;
}

uint32_t sticps_npdb_find(const struct sticps_npdb *npdb, uint64_t number)
{
    return npdb_find_number(npdb->npdb, number);
}

void sticps_npdb_find_batch(const struct sticps_npdb *npdb, const uint64_t *numbers, size_t count,
                            uint32_t *results)
{
    npdb_find_batch(npdb->npdb, numbers, count, results);
}

const char *sticps_npdb_result_spc(const struct sticps_npdb *npdb, uint32_t result)
{
    return npdb_owner_code(npdb->npdb, result & NPDB_OWNER);
}

uint64_t sticps_npdb_result_lrn(const struct sticps_npdb *npdb, uint32_t result)
{
    return npdb_owner_lrn(npdb->npdb, result & NPDB_OWNER) >> 4;
}

uint64_t sticps_npdb_figure(const struct sticps_npdb *npdb, enum sticps_npdb_figure which)
{
    struct npdb_figures figures;
    npdb_figures(npdb->npdb, &figures);
    switch (which) {
    case STICPS_NPDB_BYTES:
        return figures.bytes;
    case STICPS_NPDB_BLOCKS:
        return figures.blocks;
    case STICPS_NPDB_PORTS:
        return figures.ports;
    case STICPS_NPDB_SPCS:
        return figures.spcs;
    case STICPS_NPDB_LRNS:
        return figures.lrns;
    case STICPS_NPDB_LRNS_WITHOUT_OWNER:
        return figures.lrns_without_owner;
    default:
        return 0;
    }
}

/* ---- building ---- */

struct paths {
    char **path;
    size_t len;
};

struct sticps_npdb_build {
    struct paths blocks, ports;
    struct npdb_csv_options csv;
    char *base;                        /* NULL without one */
    struct npdb_build_options options; /* but for the files and the output */
    struct npdb_build_stats stats;
};

enum sticps_err sticps_npdb_build_new(struct sticps_npdb_build **out, struct sticps_error *err)
{
    struct sticps_npdb_build *build = calloc(1, sizeof(*build));
    if (build == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    *out = build;
    return STICPS_OK;
}

static void paths_clear(struct paths *paths)
{
    for (size_t i = 0; i < paths->len; i++)
        free(paths->path[i]);
    free(paths->path);
}

void sticps_npdb_build_free(struct sticps_npdb_build *build)
{
    if (build == NULL)
        return;
    paths_clear(&build->blocks);
    paths_clear(&build->ports);
    npdb_csv_options_clear(&build->csv);
    free(build->base);
    free(build);
}

static enum sticps_err add_path(struct sticps_npdb_build *build, struct paths *paths,
                                const char *path, struct sticps_error *err)
{
    if (build->blocks.len + build->ports.len >= NPDB_MAX_FILES)
        return fail(err, STICPS_ERR_USAGE, path, "more than %d files; join some of them",
                    NPDB_MAX_FILES);
    char **grown = reallocarray(paths->path, paths->len + 1, sizeof(*grown));
    if (grown != NULL)
        paths->path = grown;
    char *copy = strdup(path);
    if (grown == NULL || copy == NULL) {
        free(copy);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    grown[paths->len++] = copy;
    return STICPS_OK;
}

enum sticps_err sticps_npdb_build_add_blocks(struct sticps_npdb_build *build, const char *path,
                                             struct sticps_error *err)
{
    return add_path(build, &build->blocks, path, err);
}

enum sticps_err sticps_npdb_build_add_ports(struct sticps_npdb_build *build, const char *path,
                                            struct sticps_error *err)
{
    return add_path(build, &build->ports, path, err);
}

enum sticps_err sticps_npdb_build_set(struct sticps_npdb_build *build,
                                      enum sticps_npdb_build_option which, const char *value,
                                      struct sticps_error *err)
{
    return npdb_csv_options_set(&build->csv, which, value, err);
}

enum sticps_err sticps_npdb_build_set_base(struct sticps_npdb_build *build, const char *path,
                                           struct sticps_error *err)
{
    char *copy = strdup(path);
    if (copy == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    free(build->base);
    build->base = copy;
    return STICPS_OK;
}

void sticps_npdb_build_set_last_wins(struct sticps_npdb_build *build, int on)
{
    build->options.last_wins = on != 0;
}

void sticps_npdb_build_set_sequence(struct sticps_npdb_build *build, uint64_t sequence)
{
    build->options.sequence = sequence;
}

void sticps_npdb_build_set_threads(struct sticps_npdb_build *build, unsigned count)
{
    build->options.threads = count;
}

void sticps_npdb_build_set_fault_limit(struct sticps_npdb_build *build, uint64_t limit)
{
    build->options.fault_limit = limit;
}

void sticps_npdb_build_on_fault(struct sticps_npdb_build *build,
                                void (*callback)(const char *file, uint64_t line, const char *what,
                                                 void *arg),
                                void *arg)
{
    build->options.on_fault = callback;
    build->options.arg = arg;
}

void sticps_npdb_build_on_progress(struct sticps_npdb_build *build,
                                   void (*callback)(enum sticps_npdb_stage stage, uint64_t done,
                                                    uint64_t total, uint64_t rows, void *arg),
                                   void *arg)
{
    build->options.on_progress = callback;
    build->options.progress_arg = arg;
}

enum sticps_err sticps_npdb_build_run(struct sticps_npdb_build *build, const char *output,
                                      struct sticps_error *err)
{
    struct npdb_csv_options csv = build->csv;
    if (csv.as_of == 0)
        csv.as_of = npdb_date_today();
    struct npdb_build_options options = build->options;
    options.blocks = (const char *const *)build->blocks.path;
    options.blocks_len = build->blocks.len;
    options.ports = (const char *const *)build->ports.path;
    options.ports_len = build->ports.len;
    options.csv = &csv;
    options.base = build->base;
    options.output = output;
    return npdb_build(&options, &build->stats, err);
}

uint64_t sticps_npdb_build_figure(const struct sticps_npdb_build *build,
                                  enum sticps_npdb_figure which)
{
    const struct npdb_build_stats *stats = &build->stats;
    switch (which) {
    case STICPS_NPDB_BYTES:
        return stats->bytes;
    case STICPS_NPDB_BLOCKS:
        return stats->blocks;
    case STICPS_NPDB_PORTS:
        return stats->ports;
    case STICPS_NPDB_SPCS:
        return stats->spcs;
    case STICPS_NPDB_LRNS:
        return stats->lrns;
    case STICPS_NPDB_LRNS_WITHOUT_OWNER:
        return stats->lrns_without_owner;
    case STICPS_NPDB_DUPLICATES:
        return stats->duplicates;
    case STICPS_NPDB_OVERRIDDEN:
        return stats->overridden;
    case STICPS_NPDB_FAULTS:
        return stats->faults;
    case STICPS_NPDB_SUPERSEDED:
        return stats->superseded;
    case STICPS_NPDB_ENDED:
        return stats->ended;
    case STICPS_NPDB_FUTURE:
        return stats->future;
    case STICPS_NPDB_SKIPPED:
        return stats->skipped;
    case STICPS_NPDB_PORTED_IN:
        return stats->changes.ported_in;
    case STICPS_NPDB_MOVED:
        return stats->changes.moved;
    case STICPS_NPDB_PORTED_BACK:
        return stats->changes.ported_back;
    case STICPS_NPDB_BLOCKS_CHANGED:
        return stats->changes.blocks;
    case STICPS_NPDB_UNCHANGED:
        return stats->changes.same;
    default:
        return 0;
    }
}

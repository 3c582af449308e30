#include "client/npdb_assemble.h"

#include "client/crew.h"
#include "client/npdb_tables.h"
#include "client/npdb_write.h"

#include <stdlib.h>
#include <string.h>

/* One NPA on its way through the crew. */
struct job {
    unsigned npa;
    enum sticps_err code;
    struct sticps_error err;
    struct npdb_npa_result result;
};

struct assembler {
    const struct npdb_assembly *assembly;
    struct npdb_output *output;
    struct npdb_tables tables;
    struct npdb_npa *npas; /* one for each worker */
    unsigned npas_len;
    struct job *jobs;
    size_t jobs_len;
    unsigned fed, done;
    struct npdb_output_head head;
};

/* ---- the owners of whole thousands ---- */

/* Gives the thousands of an NPA that start with the first `len` digits of `value` (1 NPA NXX X, at
 * most 8 digits) to `owner`. */
static void paint(uint32_t own[NPDB_PAGE_SLOTS], uint64_t value, unsigned len, uint32_t owner)
{
    uint64_t count = 1;
    for (unsigned i = len; i < 8; i++, count *= 10)
        value *= 10;
    uint64_t first = len <= 4 ? 0 : value % 10000, end = len <= 4 ? 10000 : first + count;
    for (uint64_t i = first < 2000 ? 2000 : first; i < end; i++) /* no NXX is below 200 */
        own[i - 2000] = owner;
}

static size_t prefix_from(const struct npdb_assembly *assembly, uint64_t key)
{
    size_t low = 0, high = assembly->prefixes_len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (assembly->prefixes[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct npdb_prefix *npdb_prefix_find(const struct npdb_assembly *assembly, uint64_t digits,
                                           unsigned len)
{
    uint64_t key = npdb_prefix_key(digits, len, 0);
    size_t at = prefix_from(assembly, key);
    bool is = at < assembly->prefixes_len && assembly->prefixes[at].key == key;
    return is ? &assembly->prefixes[at] : NULL;
}

/* Prefixes are sorted so that one comes before those that it is the beginning of: painted over each
 * other in that order, they leave the longest. */
static void own_thousands(const struct npdb_assembly *assembly, struct npdb_npa *npa)
{
    const uint64_t digits = 1000 + npa->npa;
    for (size_t i = 0; i < NPDB_PAGE_SLOTS; i++)
        npa->own[i] = NPDB_OWNER_UNKNOWN;
    uint64_t cut = 1000;
    for (unsigned len = 1; len < 4; len++, cut /= 10) {
        const struct npdb_prefix *prefix = npdb_prefix_find(assembly, digits / cut, len);
        if (prefix != NULL)
            paint(npa->own, digits / cut, len, prefix->owner);
    }
    const uint64_t end = npdb_prefix_key(digits + 1, 4, 0) >> 5 << 5;
    size_t i = prefix_from(assembly, npdb_prefix_key(digits, 4, 0));
    for (; i < assembly->prefixes_len && assembly->prefixes[i].key < end; i++) {
        uint64_t key = assembly->prefixes[i].key, value = key >> 5;
        unsigned len = (unsigned)(key >> 1 & 15);
        if ((key & 1) != 0 || len > 8)
            continue;
        for (unsigned d = len; d < 15; d++)
            value /= 10;
        paint(npa->own, value, len, assembly->prefixes[i].owner);
    }
}

/* ---- the crew's work ---- */

static enum sticps_err feed(void *arg, void *place, bool *more, struct sticps_error *err)
{
    struct assembler *assembler = arg;
    struct job *job = place;
    (void)err;
    *more = assembler->fed < NPDB_NPA_COUNT;
    if (*more)
        job->npa = 200 + assembler->fed++;
    return STICPS_OK;
}

static void work(void *arg, unsigned worker, void *place)
{
    struct assembler *assembler = arg;
    const struct npdb_assembly *assembly = assembler->assembly;
    struct job *job = place;
    struct npdb_npa *npa = &assembler->npas[worker];
    npa->npa = job->npa;
    own_thousands(assembly, npa);
    job->code = STICPS_OK;
    if (assembly->fill != NULL)
        job->code = assembly->fill(assembly->arg, npa, &job->err);
    if (job->code == STICPS_OK)
        job->code = npdb_npa_finish(npa, &job->result, &job->err);
    else
        npdb_npa_reset(npa);
}

static enum sticps_err collect(void *arg, void *place, struct sticps_error *err)
{
    struct assembler *assembler = arg;
    struct job *job = place;
    if (job->code != STICPS_OK)
        return fail(err, job->code, job->err.where, "%s", job->err.text);
    uint64_t base = npdb_output_offset(assembler->output);
    if (base + job->result.blocks_len > NPDB_MAX_BLOCKS_END)
        return fail(err, STICPS_ERR_NPDB, assembler->assembly->output,
                    "the blocks are more than a portability file can hold (16 GB)");
    enum sticps_err code = npdb_tables_add(&assembler->tables, &job->result, base, err);
    if (code == STICPS_OK)
        code = npdb_output_add(assembler->output, job->result.blocks, job->result.blocks_len, err);
    assembler->head.ports += job->result.ports;
    assembler->head.blocks += job->result.block_count;
    assembler->done++;
    if (code == STICPS_OK && assembler->assembly->progress != NULL)
        assembler->assembly->progress(assembler->assembly->arg, assembler->done);
    return code;
}

/* ---- the whole ---- */

static enum sticps_err start(struct assembler *assembler, struct sticps_error *err)
{
    unsigned workers = assembler->assembly->workers;
    size_t npas = workers > 0 ? workers : 1;
    assembler->jobs_len = workers + 1;
    assembler->jobs = calloc(assembler->jobs_len, sizeof(*assembler->jobs));
    assembler->npas = calloc(npas, sizeof(*assembler->npas));
    if (assembler->jobs == NULL || assembler->npas == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    enum sticps_err code = STICPS_OK;
    while (code == STICPS_OK && assembler->npas_len < npas) {
        code =
            npdb_npa_start(&assembler->npas[assembler->npas_len], assembler->assembly->owners, err);
        if (code == STICPS_OK)
            assembler->npas_len++;
    }
    return code;
}

static void clear_work(struct assembler *assembler)
{
    for (size_t i = 0; assembler->jobs != NULL && i < assembler->jobs_len; i++)
        npdb_npa_result_clear(&assembler->jobs[i].result);
    for (unsigned i = 0; i < assembler->npas_len; i++)
        npdb_npa_clear(&assembler->npas[i]);
    free(assembler->jobs);
    free(assembler->npas);
    assembler->jobs = NULL;
    assembler->npas = NULL;
    assembler->npas_len = 0;
}

static enum sticps_err write_blocks(struct assembler *assembler, struct sticps_error *err)
{
    enum sticps_err code = start(assembler, err);
    const struct crew crew = {.jobs = assembler->jobs,
                              .job_size = sizeof(*assembler->jobs),
                              .jobs_len = assembler->jobs_len,
                              .workers = assembler->assembly->workers,
                              .feed = feed,
                              .work = work,
                              .collect = collect,
                              .arg = assembler};
    if (code == STICPS_OK)
        code = crew_run(&crew, err);
    clear_work(assembler);
    if (code == STICPS_OK && assembler->assembly->accept != NULL)
        code = assembler->assembly->accept(assembler->assembly->arg, err);
    return code;
}

enum sticps_err npdb_assemble(const struct npdb_assembly *assembly, struct npdb_assembled *out,
                              struct sticps_error *err)
{
    struct assembler assembler = {
        .assembly = assembly,
        .head = {.sequence = assembly->sequence, .ports = assembly->base_ports}};
    memset(out, 0, sizeof(*out));
    enum sticps_err code = npdb_output_open(assembly->output, &assembler.output, err);
    if (code == STICPS_OK)
        code = write_blocks(&assembler, err);
    if (code == STICPS_OK)
        code = npdb_tables_write(&assembler.tables, assembly, assembler.output, out, err);
    if (code == STICPS_OK) {
        out->ports += assembler.head.ports;
        out->bytes = npdb_output_offset(assembler.output);
        struct npdb_output *output = assembler.output;
        assembler.output = NULL;
        code = npdb_output_finish(output, &assembler.head, err);
    }
    npdb_output_abandon(assembler.output);
    npdb_tables_clear(&assembler.tables);
    return code;
}

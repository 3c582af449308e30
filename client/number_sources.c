#include "client/number_sources.h"

#include <stdlib.h>

static enum sticps_err add_file(struct number_sources *to, const char *path,
                                struct sticps_error *err)
{
    struct npdb *npdb = NULL;
    enum sticps_err code = npdb_open(path, NPDB_CHECK_STRUCTURE, &npdb, err);
    if (code != STICPS_OK)
        return code;
    code = number_source_npdb(npdb, &to->items[to->len], err);
    if (code == STICPS_OK)
        to->len++;
    else
        npdb_close(npdb);
    return code;
}

static enum sticps_err add_files(struct number_sources *to, const char *const *paths, size_t count,
                                 struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    for (size_t i = 0; i < count && code == STICPS_OK; i++)
        code = add_file(to, paths[i], err);
    return code;
}

static enum sticps_err add_dip(struct number_sources *to, const struct sticps_options *options,
                               struct sticps_error *err)
{
    enum sticps_err code = number_source_dip(options->dip, options->dip_ctx,
                                             options->default_country, &to->items[to->len], err);
    if (code == STICPS_OK)
        to->len++;
    return code;
}

enum sticps_err number_sources_new(const struct sticps_options *options,
                                   struct enum_source *enumeration, const char *const *paths,
                                   size_t count, struct number_sources **out,
                                   struct sticps_error *err)
{
    struct number_sources *sources =
        calloc(1, sizeof(*sources) + (count + NUMBER_KINDS) * sizeof(void *));
    if (sources == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    enum sticps_err code = STICPS_OK;
    if (!options_name(options, NUMBERS_NPDB))
        code = add_files(sources, paths, count, err);
    for (size_t i = 0; i < options->number_kinds_len && code == STICPS_OK; i++)
        switch (options->number_kinds[i]) {
        case NUMBERS_NPDB:
            code = add_files(sources, paths, count, err);
            break;
        case NUMBERS_ENUM:
            sources->items[sources->len++] = enum_source_as_number_source(enumeration);
            break;
        default:
            code = add_dip(sources, options, err);
        }
    if (code == STICPS_OK)
        *out = sources;
    else
        number_sources_free(sources);
    return code;
}

void number_sources_free(struct number_sources *sources)
{
    if (sources == NULL)
        return;
    for (size_t i = 0; i < sources->len; i++)
        number_source_free(sources->items[i]);
    free(sources);
}

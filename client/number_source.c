#include "client/number_source.h"

#include <stdlib.h>

struct npdb_source {
    struct number_source source;
    struct npdb *npdb;
};

static enum number_result npdb_source_lookup(const struct number_source *self, const struct tn *tn,
                                             struct number_answer *answer, struct sticps_error *err)
{
    (void)err; /* a mapped file always has an answer */
    struct npdb_answer found;
    npdb_lookup(((const struct npdb_source *)self)->npdb, tn, &found);
    if (!found.found)
        return NUMBER_NOT_FOUND;
    *answer = (struct number_answer){found.ported, found.lrn, found.spc};
    return NUMBER_FOUND;
}

static void npdb_source_free(struct number_source *self)
{
    struct npdb_source *source = (struct npdb_source *)self;
    npdb_close(source->npdb);
    free(source);
}

static const struct number_source_ops npdb_source_ops = {npdb_source_lookup, npdb_source_free};

enum sticps_err number_source_npdb(struct npdb *npdb, struct number_source **out,
                                   struct sticps_error *err)
{
    struct npdb_source *source = malloc(sizeof(*source));
    if (source == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    source->source.ops = &npdb_source_ops;
    source->npdb = npdb;
    *out = &source->source;
    return STICPS_OK;
}

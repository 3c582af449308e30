#include "client/number_source.h"

#include <stdlib.h>
#include <string.h>

/* ---- a portability file ---- */

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

static bool npdb_source_owner(const struct number_source *self, const struct tn *lrn,
                              struct spc *out)
{
    return npdb_owner_of_lrn(((const struct npdb_source *)self)->npdb, lrn, out);
}

static void npdb_source_free(struct number_source *self)
{
    struct npdb_source *source = (struct npdb_source *)self;
    npdb_close(source->npdb);
    free(source);
}

static const struct number_source_ops npdb_source_ops = {npdb_source_lookup, npdb_source_free,
                                                         npdb_source_owner};

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

/* ---- a function of the host ---- */

struct dip_source {
    struct number_source source;
    sticps_dip_fn *dip;
    void *ctx;
    unsigned default_country;
};

/* Whether the host has left a text in its array. */
static bool ends(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

static enum number_result read_dip(const struct dip_source *self, const struct sticps_dip *dip,
                                   struct number_answer *answer, struct sticps_error *err)
{
    struct number_answer read = {.ported = dip->ported || dip->lrn[0] != '\0'};
    struct sticps_error why = {.text = "a text does not end"};
    if (!ends(dip->lrn, sizeof(dip->lrn)) || !ends(dip->spc, sizeof(dip->spc)) ||
        (dip->lrn[0] != '\0' && tn_from_typed(dip->lrn, strlen(dip->lrn), self->default_country,
                                              &read.lrn, &why) != STICPS_OK) ||
        (dip->spc[0] != '\0' &&
         spc_from_typed(dip->spc, strlen(dip->spc), &read.spc, &why) != STICPS_OK)) {
        fail(err, STICPS_ERR_USAGE, "dip", "the host's function gives no number or code: %s",
             why.text);
        return NUMBER_FAILED;
    }
    if (read.lrn.digits[0] == '\0' && read.spc.text[0] == '\0')
        return NUMBER_NOT_FOUND; /* that it is not ported says nothing of who serves it */
    *answer = read;
    return NUMBER_FOUND;
}

static enum number_result dip_source_lookup(const struct number_source *source, const struct tn *tn,
                                            struct number_answer *answer, struct sticps_error *err)
{
    const struct dip_source *self = (const struct dip_source *)source;
    struct sticps_dip dip = {.lrn = ""};
    switch (self->dip(self->ctx, tn->digits, &dip)) {
    case STICPS_DIP_FOUND:
        return read_dip(self, &dip, answer, err);
    case STICPS_DIP_NOT_FOUND:
        return NUMBER_NOT_FOUND;
    case STICPS_DIP_FAILED:
        break;
    }
    fail(err, STICPS_ERR_FETCH, "dip", "the host's function could not tell");
    return NUMBER_FAILED;
}

static void dip_source_free(struct number_source *self)
{
    free(self);
}

static const struct number_source_ops dip_source_ops = {dip_source_lookup, dip_source_free, NULL};

enum sticps_err number_source_dip(sticps_dip_fn *dip, void *ctx, unsigned default_country,
                                  struct number_source **out, struct sticps_error *err)
{
    struct dip_source *source = malloc(sizeof(*source));
    if (source == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    *source = (struct dip_source){{&dip_source_ops}, dip, ctx, default_country};
    *out = &source->source;
    return STICPS_OK;
}

/* Where the owner of a called number is learnt: a portability file, ENUM
 * (enum_source.h) or a function of the host, all behind one interface. `resolve` asks its sources
 * in order until one has found the number (PROTOCOL section 7). */
#ifndef CLIENT_NUMBER_SOURCE_H
#define CLIENT_NUMBER_SOURCE_H

#include "client/npdb_reader.h"
#include "common/error.h"
#include "common/spc.h"
#include "common/tn.h"
#include "sticps/numbers.h"

#include <stdbool.h>

enum number_result {
    NUMBER_FOUND,     /* the answer counts, also when it names nobody: no other source is asked */
    NUMBER_NOT_FOUND, /* this source knows nothing of the number */
    NUMBER_FAILED,    /* it could not tell; err says why */
    NUMBER_NOT_ASKED  /* it must be waited for: ENUM's cache has nothing */
};

struct number_answer {
    bool ported;
    struct tn lrn;  /* "" when there is none */
    struct spc spc; /* "" when nobody serves the number, or the LRN's owner does */
};

struct number_source;

struct number_source_ops {
    /* `answer` is written when the result is NUMBER_FOUND. Any thread, several at once. */
    enum number_result (*lookup)(const struct number_source *self, const struct tn *tn,
                                 struct number_answer *answer, struct sticps_error *err);
    void (*free)(struct number_source *self);
    /* Who serves an LRN that another source has named; false when it does not know. NULL where that
     * cannot be asked. */
    bool (*owner_of_lrn)(const struct number_source *self, const struct tn *lrn, struct spc *out);
};

/* The first member of every source. */
struct number_source {
    const struct number_source_ops *ops;
};

/* A source over an open portability file, which it owns from then on and closes. On failure
 * (STICPS_ERR_NO_MEMORY) the file stays the caller's. */
enum sticps_err number_source_npdb(struct npdb *npdb, struct number_source **out,
                                   struct sticps_error *err) STICPS_MUST_CHECK;

/* A source over a function of the host, whose answers it checks. STICPS_ERR_NO_MEMORY. */
enum sticps_err number_source_dip(sticps_dip_fn *dip, void *ctx, unsigned default_country,
                                  struct number_source **out,
                                  struct sticps_error *err) STICPS_MUST_CHECK;

static inline enum number_result number_source_lookup(const struct number_source *source,
                                                      const struct tn *tn,
                                                      struct number_answer *answer,
                                                      struct sticps_error *err)
{
    return source->ops->lookup(source, tn, answer, err);
}

/* Accepts NULL. No lookup may be under way. */
static inline void number_source_free(struct number_source *source)
{
    if (source != NULL)
        source->ops->free(source);
}

#endif

/* The sources of numbers of one client, in the order in which they are asked. Immutable; made anew
 * when the portability files change. Called by client.c, read by resolve.c. */
#ifndef CLIENT_NUMBER_SOURCES_H
#define CLIENT_NUMBER_SOURCES_H

#include "client/enum_source.h"
#include "client/number_source.h"
#include "client/options.h"

struct number_sources {
    size_t len;
    struct number_source *items[];
};

/* The portability files at `paths`, in their order, and what else the options name, all in the
 * order of the options. `enumeration` outlives them; NULL when the options do not name ENUM.
 * STICPS_ERR_FILE, STICPS_ERR_NPDB, STICPS_ERR_NO_MEMORY. The caller owns *out. */
enum sticps_err number_sources_new(const struct sticps_options *options,
                                   struct enum_source *enumeration, const char *const *paths,
                                   size_t count, struct number_sources **out,
                                   struct sticps_error *err) STICPS_MUST_CHECK;

/* Accepts NULL. No lookup may be under way. */
void number_sources_free(struct number_sources *sources);

#endif

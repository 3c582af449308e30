/* Writing one entry, once its CPS was asked whether it answers (cps_check in the configuration).
 * First the database says whether the caller may write the entry at all: nobody makes the registry
 * call hosts for an SPC that is not his. Then the check, and then entry_put as without it. */
#ifndef REGISTRY_CHECKED_PUT_H
#define REGISTRY_CHECKED_PUT_H

#include "server/db/pool.h"
#include "server/registry/api.h"

#define ENTRY_PUT_PARAMS 6

/* The write itself, also without a check. */
extern const struct db_statement entry_put;

/* `params` are those of entry_put, the first two not filled in; copied. Replies. */
void checked_put(struct request *request, const char *const params[ENTRY_PUT_PARAMS],
                 const struct api_dress *dress);

#endif

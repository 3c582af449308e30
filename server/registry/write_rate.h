/* How often the entries of one SP may be written (limits.writes_per_second). Called by api, for
 * routes of the role API_ROLE_SP_WRITE, which have the parameter {sp}. */
#ifndef REGISTRY_WRITE_RATE_H
#define REGISTRY_WRITE_RATE_H

#include <stdbool.h>

struct request;

/* Before anything is done. False after it has replied 429. */
bool write_rate_allows(struct request *request);

/* After the database has spoken: counts the write, unless `outcome` says that the caller had no
 * business with this SP. Otherwise anybody could use up what others may write. */
void write_rate_count(struct request *request, const char *outcome);

#endif

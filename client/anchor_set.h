/* The certificates that a client trusts for a purpose (to sign lists, or CRLs), of which some stand
 * in files: those are read again when they have changed, so that an anchor may be added beside the
 * old one, and the old one removed later, without a restart (PROTOCOL section 2, trust rotation).
 *
 * A new file that cannot be used changes nothing: what the old one said stays trusted. Any thread.
 * Called by list_refresh (look, at each refresh), list_source (get) and client.c. */
#ifndef CLIENT_ANCHOR_SET_H
#define CLIENT_ANCHOR_SET_H

#include "client/events.h"
#include "common/cert.h"

#define ANCHOR_FILE_MAX (1024 * 1024) /* bytes */

struct anchor_set;

/* From texts that are known to parse, with the files that they came from. `events` outlives it. */
enum sticps_err anchor_set_new(const struct text_list *certificates, struct events *events,
                               struct anchor_set **out, struct sticps_error *err) STICPS_MUST_CHECK;
void anchor_set_free(struct anchor_set *set); /* accepts NULL */

/* A reference to the anchors as they are now. */
struct anchors *anchor_set_get(struct anchor_set *set);

/* Reads the files that have changed since the last look; with `again`, those too that could not be
 * used then. Each that is new, and each that cannot be used, is an event. The first of the failures
 * is returned: STICPS_ERR_FILE, STICPS_ERR_NO_MEMORY. */
enum sticps_err anchor_set_look(struct anchor_set *set, bool again,
                                struct sticps_error *err) STICPS_MUST_CHECK;

#endif

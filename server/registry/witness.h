/* Looks once a minute at the lists as clients get them, from a CDN or another node, and tells the
 * sequence floor what it saw: what remains when the database was put back and this node's own
 * memory went with it. A list counts when a client would take it (libsticps, under the configured
 * anchors); a witness that cannot be read is logged and does not hold publishing up. Runs on a
 * thread of its own. */
#ifndef REGISTRY_WITNESS_H
#define REGISTRY_WITNESS_H

#include "common/error.h"
#include "server/registry/config.h"

#include <stdbool.h>

struct sequence_floor;
struct witness;

/* The anchors can be read: for -t. */
enum sticps_err witness_check(const struct config *config,
                              struct sticps_error *err) STICPS_MUST_CHECK;

/* NULL in *out when none is configured. Both arguments are borrowed until witness_stop.
 * STICPS_ERR_FILE and STICPS_ERR_USAGE for the anchors. */
enum sticps_err witness_start(const struct config *config, struct sequence_floor *floor,
                              struct witness **out, struct sticps_error *err) STICPS_MUST_CHECK;
void witness_stop(struct witness *witness); /* breaks off what is under way; accepts NULL */

/* Every witness has been asked once since the start, with whatever result; before that nothing is
 * published. True without witnesses. Any thread. */
bool witness_asked(const struct witness *witness);
/* How many could not be read at the last look. Any thread; 0 for NULL. */
unsigned witness_failing(const struct witness *witness);

#endif

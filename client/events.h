/* Counts what happens and tells the host's log. Called by list_refresh, x5u_cache and deliver, once
 * for each end. */
#ifndef CLIENT_EVENTS_H
#define CLIENT_EVENTS_H

#include "client/options.h"
#include "sticps/events.h"

#include <stdatomic.h>

struct events {
    const struct sticps_options *options; /* the log */
    atomic_ullong counts[STICPS_EVENT_COUNT][STICPS_ERR_COUNT];
};

/* All counts zero. `options` outlive it. */
void events_init(struct events *events, const struct sticps_options *options);

/* `err` describes a code other than STICPS_OK; its `where` is told only when it is no number that
 * somebody called (PROTOCOL section 5: those are the callers' own affair). Any thread. */
void events_note(struct events *events, enum sticps_event event, enum sticps_err code,
                 const struct sticps_error *err);

/* An end that went well, with words for the log. */
void events_tell(struct events *events, enum sticps_event event, const char *where,
                 const char *format, ...) STICPS_PRINTF(4, 5);

#endif

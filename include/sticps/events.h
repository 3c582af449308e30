/* What happens inside a client, for the host's metrics and log: a count of each kind of event by
 * how it ended, and one call for each that a person may want to read. */
#ifndef STICPS_EVENTS_H
#define STICPS_EVENTS_H

#include <sticps/client.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* New ones are added before STICPS_EVENT_COUNT; numbers never change their meaning. */
enum sticps_event {
    STICPS_EVENT_LIST,     /* a fetch of a list ended; OK: taken, or current */
    STICPS_EVENT_X5U,      /* a certificate was asked of the network, not of the cache */
    STICPS_EVENT_DELIVERY, /* a CPS's part of a delivery ended, or a delivery that had no CPS */
    STICPS_EVENT_PAUSE,    /* a CPS, or ENUM, is left in peace from now on; always PAUSED */
    STICPS_EVENT_SOURCE,   /* one of several sources of a list was asked; `where` names it */
    STICPS_EVENT_ANCHORS,  /* a file of anchors has changed; OK: it is in use */
    STICPS_EVENT_ENUM,     /* the DNS was asked about a number; OK: whatever it said */
    STICPS_EVENT_COUNT
};

/* "list", "x5u", "delivery", "pause", "source", "anchors", "enum"; "unknown" for a number out of
 * range. Static storage. */
STICPS_EXPORT const char *sticps_event_name(enum sticps_event event);

/* How often `event` has ended with `code` since the client was made, STICPS_OK being one of the
 * codes; 0 for what this version does not know. Any thread. */
STICPS_EXPORT uint64_t sticps_event_count(const struct sticps_client *client,
                                          enum sticps_event event, enum sticps_err code);

/* Deliveries that were queued and have not ended. Any thread. */
STICPS_EXPORT unsigned sticps_deliveries_under_way(const struct sticps_client *client);

#ifdef __cplusplus
}
#endif
#endif

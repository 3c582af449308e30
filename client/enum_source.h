/* ENUM as a source of numbers (PROTOCOL section 7). A lookup knows what the cache knows and never
 * waits; whoever may wait, in the loop, lets it ask first (enum_wait). One query for each number at
 * a time; servers that are silent are left in peace for a while, as CPSs are (peers.h), and then
 * the other sources decide. Made and closed by client.c. */
#ifndef CLIENT_ENUM_SOURCE_H
#define CLIENT_ENUM_SOURCE_H

#include "client/events.h"
#include "client/loop.h"
#include "client/number_source.h"
#include "client/options.h"

struct enum_source;

/* `options`, `events` and `loop` outlive it. STICPS_ERR_NO_MEMORY, STICPS_ERR_FILE (of
 * /etc/resolv.conf). */
enum sticps_err enum_source_new(struct loop *loop, const struct sticps_options *options,
                                struct events *events, struct enum_source **out,
                                struct sticps_error *err) STICPS_MUST_CHECK;
/* Ends what is under way, so that nobody waits any more. The loop is stopped. */
void enum_source_close(struct enum_source *source);
void enum_source_free(struct enum_source *source); /* accepts NULL; closed */
/* In a child of the host's process. Accepts NULL. */
void enum_source_abandon(struct enum_source *source);

/* As one of the number_sources, whose end does not end this. */
struct number_source *enum_source_as_number_source(struct enum_source *source);

/* Lookups that the cache has answered; for statistics. Any thread. */
uint64_t enum_source_hits(const struct enum_source *source);

/* ---- waiting for it, in the loop's thread ---- */

struct enum_wait;

/* For at most `room` numbers. NULL when out of memory. */
struct enum_wait *enum_wait_new(struct enum_source *source, size_t room);

/* Asks for a number that a lookup has not found in the cache, or joins who asks for it already. */
void enum_wait_add(struct enum_wait *wait, const struct tn *tn);

/* Calls `done` once, when all have their answer or `ms` are over; the wait is gone then. False, and
 * gone at once, when there is nothing to wait for: the lookups of these numbers say why. */
bool enum_wait_start(struct enum_wait *wait, unsigned ms, void (*done)(void *ctx),
                     void *ctx) STICPS_MUST_CHECK;

#endif

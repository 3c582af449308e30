/* Time, passed in. Whoever judges freshness or expiry takes a number of seconds; whoever owns a
 * loop keeps one struct clock, so that tests move the time instead of sleeping. */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>

struct clock {
    int64_t (*now)(void *context); /* Unix seconds, wall clock, rounded down */
    void *context;
};

/* The system's wall clock. */
extern const struct clock clock_system;

static inline int64_t clock_now(const struct clock *clock)
{
    return clock->now(clock->context);
}

/* Writes RFC 3339 UTC, "2026-03-01T12:00:00Z", NUL-terminated; years beyond 9999 are cut there. */
void clock_format(int64_t seconds, char out[21]);

#endif

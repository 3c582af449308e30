#include "common/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t system_now(void *context)
{
    (void)context;
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME_COARSE,
                  &ts); /* as time() does: 4 ms late at most, and 3 ns not 20 */
    return (int64_t)ts.tv_sec;
}

const struct clock clock_system = {system_now, NULL};

#define YEAR_10000 253402300800

void clock_format(int64_t seconds, char out[21])
{
    if (seconds >= YEAR_10000)
        seconds = YEAR_10000 - 1;
    if (seconds < 0)
        seconds = 0;
    time_t t = (time_t)seconds;
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(out, 21, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* Preloaded into a program under attack (test_list_over_time.py): its wall clock is off by
 * $CLOCK_OFFSET seconds. The monotonic clock stays the machine's, as it does when a real clock is
 * set; libfaketime 0.9.10 moves the timers of timerfd_settime along with the wall clock, which no
 * real clock does. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    const char *offset = getenv("CLOCK_OFFSET");
    if (result == 0 && offset != NULL &&
        (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += atoll(offset);
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec wall;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &wall);
    *now = (struct timeval){.tv_sec = wall.tv_sec, .tv_usec = wall.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    if (out != NULL)
        *out = wall.tv_sec;
    return wall.tv_sec;
}

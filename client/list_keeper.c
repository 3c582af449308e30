#include "client/list_keeper.h"

#include <sys/random.h>

#define SECONDS_MAX 86400
#define RETRY_MS 10000 /* the first pause after a failure is between half of it and all */
#define SOONEST_MS 5000

/* ---- when ---- */

/* Clients that began together must not stay together; nothing secret is made of it. */
static uint32_t draw(void)
{
    uint32_t random = 0;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
        random = (uint32_t)loop_now() * 2654435761u;
    return random;
}

/* Evenly between `from` and `to`. */
static uint64_t between(uint64_t from, uint64_t to, uint32_t random)
{
    return from + (to - from) * random / UINT32_MAX;
}

uint64_t list_keeper_first(unsigned seconds, int64_t expires_in, uint32_t random)
{
    return expires_in > 0 ? between(0, (uint64_t)seconds * 100, random) : 0;
}

uint64_t list_keeper_next(unsigned seconds, unsigned failures, int64_t expires_in, uint32_t random)
{
    uint64_t period = (uint64_t)seconds * 1000;
    if (failures > 0) {
        uint64_t pause = RETRY_MS;
        while (--failures > 0 && pause < period)
            pause *= 2;
        if (pause > period)
            pause = period;
        return between(pause / 2, pause, random);
    }
    uint64_t wait = between(period - period / 10, period + period / 10, random);
    uint64_t half = expires_in > 0 ? (uint64_t)expires_in * 500 : wait;
    if (half < SOONEST_MS)
        half = SOONEST_MS;
    return half < wait ? half : wait;
}

static int64_t expires_in(const struct list_keeper *keeper)
{
    const struct list_source *source = keeper->refresher->source;
    struct sticps_list *list = lists_held(source->lists, keeper->kind);
    if (list == NULL)
        return 0;
    int64_t left = sticps_list_exp(list) - clock_now(&source->options->clock);
    sticps_list_unref(list);
    return left;
}

/* When all sources asked for peace, the one that asked for the least is waited for. */
static uint64_t until_somebody_may_be_asked(const struct list_keeper *keeper)
{
    const struct sticps_options *options = keeper->refresher->source->options;
    uint64_t now = loop_now(), soonest = UINT64_MAX;
    if (options->list_files[keeper->kind].len > 0)
        return 0;
    for (size_t i = 0; i < options->list_urls[keeper->kind].len; i++)
        if (keeper->rest_until[i] < soonest)
            soonest = keeper->rest_until[i];
    return soonest > now ? soonest - now : 0;
}

/* ---- the loop's thread ---- */

static void on_due(struct loop_timer *timer);

static unsigned seconds_of(struct list_keeper *keeper)
{
    pthread_mutex_lock(&keeper->mutex);
    unsigned seconds = keeper->seconds;
    pthread_mutex_unlock(&keeper->mutex);
    return seconds;
}

static void wait_for(struct list_keeper *keeper, uint64_t ms)
{
    uint64_t rest = until_somebody_may_be_asked(keeper);
    loop_timer_set(keeper->refresher->loop, &keeper->timer, (unsigned)(ms > rest ? ms : rest),
                   on_due);
}

static void on_refreshed(void *ctx, enum sticps_err code, const struct sticps_error *err,
                         const struct sticps_list_result *result)
{
    struct list_keeper *keeper = ctx;
    unsigned seconds = seconds_of(keeper);
    (void)err;
    (void)result;
    keeper->under_way = false;
    keeper->failures = code == STICPS_OK ? 0 : keeper->failures + 1;
    if (seconds > 0)
        wait_for(keeper, list_keeper_next(seconds, keeper->failures, expires_in(keeper), draw()));
}

static void on_due(struct loop_timer *timer)
{
    struct list_keeper *keeper =
        (struct list_keeper *)((char *)timer - offsetof(struct list_keeper, timer));
    keeper->under_way = true;
    list_refresh_all(keeper->refresher, keeper->kind, keeper->rest_until, on_refreshed, keeper);
}

static void on_set(struct loop_task *task)
{
    struct list_keeper *keeper =
        (struct list_keeper *)((char *)task - offsetof(struct list_keeper, task));
    pthread_mutex_lock(&keeper->mutex);
    keeper->posted = false;
    unsigned seconds = keeper->seconds;
    pthread_mutex_unlock(&keeper->mutex);
    if (seconds == 0)
        loop_timer_stop(&keeper->timer);
    else if (!keeper->under_way) /* else its end sets the timer */
        wait_for(keeper, list_keeper_first(seconds, expires_in(keeper), draw()));
}

/* ---- any thread ---- */

void list_keeper_init(struct list_keeper *keeper, struct list_refresher *refresher,
                      enum sticps_list_kind kind)
{
    *keeper = (struct list_keeper){.refresher = refresher, .kind = kind, .task.run = on_set};
    pthread_mutex_init(&keeper->mutex, NULL);
}

void list_keeper_destroy(struct list_keeper *keeper)
{
    pthread_mutex_destroy(&keeper->mutex);
}

enum sticps_err list_keeper_set(struct list_keeper *keeper, unsigned seconds,
                                struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    if (seconds > SECONDS_MAX)
        return fail(err, STICPS_ERR_USAGE, "seconds",
                    "a list is refreshed once a day at least: "
                    "give 1 to %d seconds, or 0 to end it",
                    SECONDS_MAX);
    if (seconds > 0)
        code = list_refresh_check(keeper->refresher, keeper->kind, err);
    if (code != STICPS_OK)
        return code;
    pthread_mutex_lock(&keeper->mutex);
    bool post = !keeper->posted;
    keeper->posted = true;
    keeper->seconds = seconds;
    pthread_mutex_unlock(&keeper->mutex);
    if (post)
        loop_post(keeper->refresher->loop, &keeper->task);
    return STICPS_OK;
}

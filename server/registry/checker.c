#include "server/registry/checker.h"

#include "server/http/log.h"
#include "server/http/metrics.h"
#include "server/http/server.h"
#include "server/http/timer.h"
#include "server/registry/checker_hosts.h"
#include "server/registry/checker_process.h"
#include "server/registry/config.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LOOK_MS 50      /* while there is something to do */
#define RESTART_MS 1000 /* between two starts */
#define IDLE_MS 60000   /* then the process ends … */
#define AGE_MS 600000   /* … or after this: a new one knows today's resolver and roots */
#define COMPLAIN_AGAIN_MS 60000

struct checker {
    struct checker_program program;
    pthread_t thread;
    int wake_fd;

    pthread_mutex_t lock; /* over the next two lines */
    bool started, stopping;
    struct checker_hosts hosts;

    /* the thread's own; monotonic ms, 0 for never */
    struct checker_process *process;
    uint64_t started_at, used_at, complained_at;
};

/* ---- the process ---- */

/* It has ended by itself, or does not answer. */
static void lose(struct checker *checker, bool ended, uint64_t now)
{
    char how[CHECKER_HOW];

    checker_process_stop(checker->process, ended ? how : NULL);
    checker->process = NULL;
    log_error("the checker of CPS URLs %s%s; it is started again when it is needed",
              ended ? "ended " : "did not report and was ended", ended ? how : "");
    pthread_mutex_lock(&checker->lock);
    checker_hosts_end_running(&checker->hosts, "the checker ended; try again", now);
    pthread_mutex_unlock(&checker->lock);
}

static void start_process(struct checker *checker, uint64_t now)
{
    struct sticps_error err = {0};

    if (checker->started_at != 0 && now < checker->started_at + RESTART_MS)
        return;
    checker->started_at = checker->used_at = now;
    if (checker_process_start(&checker->program, &checker->process, &err) == STICPS_OK)
        return;
    if (checker->complained_at == 0 || now >= checker->complained_at + COMPLAIN_AGAIN_MS) {
        checker->complained_at = now;
        log_error("the checker of CPS URLs cannot be started: %s", err.text);
    }
    pthread_mutex_lock(&checker->lock);
    checker_hosts_end_waiting(&checker->hosts, "the checker cannot be started", now);
    pthread_mutex_unlock(&checker->lock);
}

static void rest(struct checker *checker, uint64_t now)
{
    if (now < checker->used_at + IDLE_MS && now < checker->started_at + AGE_MS)
        return;
    checker_process_stop(checker->process, NULL);
    checker->process = NULL;
}

/* ---- orders and reports ---- */

/* What it does not take now stays for the next turn; that it is gone, the next receive tells. */
static void send_orders(struct checker *checker, uint64_t now)
{
    struct cps_check_order order;

    pthread_mutex_lock(&checker->lock);
    while (checker_hosts_next(&checker->hosts, &order) &&
           checker_process_send(checker->process, &order)) {
        checker_hosts_sent(&checker->hosts, now);
        checker->used_at = now;
    }
    pthread_mutex_unlock(&checker->lock);
}

static void take_report(struct checker *checker, const struct cps_check_report *report,
                        uint64_t now)
{
    bool good = report->good == 1;
    struct checker_result result = {.verdict = good ? CHECKER_GOOD : CHECKER_BAD,
                                    .status = report->status < 1000 ? report->status : 0,
                                    .ms = report->ms};

    snprintf(result.detail, sizeof(result.detail), "%s", good ? "" : report->detail);
    pthread_mutex_lock(&checker->lock);
    checker_hosts_report(&checker->hosts, report->id, &result, now);
    pthread_mutex_unlock(&checker->lock);
}

static void receive(struct checker *checker, uint64_t now)
{
    struct cps_check_report report;
    enum checker_receipt receipt;

    while ((receipt = checker_process_receive(checker->process, &report)) == CHECKER_REPORT)
        take_report(checker, &report, now);
    if (receipt == CHECKER_GONE)
        lose(checker, true, now);
}

/* ---- the thread ---- */

static void wait_for_news(struct checker *checker, int ms)
{
    struct pollfd fds[] = {
        {.fd = checker->wake_fd, .events = POLLIN},
        {.fd = checker->process != NULL ? checker_process_fd(checker->process) : -1,
         .events = POLLIN},
    };
    uint64_t ignored;

    poll(fds, 2, ms);
    (void)!read(checker->wake_fd, &ignored, sizeof(ignored));
    if (fds[1].revents != 0)
        receive(checker, monotonic_ms());
}

/* False when it is time to stop. */
static bool turn(struct checker *checker)
{
    uint64_t now = monotonic_ms();

    pthread_mutex_lock(&checker->lock);
    bool stopping = checker->stopping;
    checker_hosts_end_overdue(&checker->hosts, now);
    bool late = checker_hosts_late(&checker->hosts, now);
    bool work = checker->hosts.waiting > 0, idle = !work && checker->hosts.running_len == 0;
    pthread_mutex_unlock(&checker->lock);
    if (stopping)
        return false;
    if (checker->process != NULL && late)
        lose(checker, false, now);
    if (checker->process == NULL && work)
        start_process(checker, now);
    if (checker->process != NULL && work)
        send_orders(checker, now);
    if (checker->process != NULL && idle)
        rest(checker, now);
    wait_for_news(checker, !idle ? LOOK_MS : checker->process != NULL ? IDLE_MS : -1);
    return true;
}

static void *run(void *arg)
{
    struct checker *checker = arg;

    while (turn(checker))
        ;
    if (checker->process != NULL)
        checker_process_stop(checker->process, NULL);
    return NULL;
}

static void wake(struct checker *checker)
{
    (void)!write(checker->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
}

/* ---- public ---- */

void checker_write(struct metrics *metrics, const struct checker *checker)
{
    static const char *const names[CHECKER_VERDICTS] = {"good", "bad", "unknown"};

    metrics_family(metrics, "sticps_cps_checks_total", "counter",
                   "Checks of CPSs, by what they found; unknown: it could not be checked.");
    for (size_t i = 0; i < CHECKER_VERDICTS; i++)
        metrics_sample(metrics, METRICS_LABELS({"result", names[i]}),
                       (double)counter_read(&checker->hosts.checks[i]));
}

size_t checker_origin(const char *url)
{
    size_t scheme = strlen("https://");

    return scheme + strcspn(url + scheme, "/");
}

enum sticps_err checker_new(const struct config *config, struct checker **out,
                            struct sticps_error *err)
{
    struct checker *checker = calloc(1, sizeof(*checker));

    if (checker == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    checker->program.lab = config->lab == CONFIG_ON;
    checker->program.tls_ca = config->tls_ca;
    checker_hosts_init(&checker->hosts);
    pthread_mutex_init(&checker->lock, NULL);
    checker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (checker->wake_fd < 0) {
        checker_free(checker);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "no eventfd");
    }
    *out = checker;
    return STICPS_OK;
}

void checker_free(struct checker *checker)
{
    if (checker == NULL)
        return;
    if (checker->started) {
        pthread_mutex_lock(&checker->lock);
        checker->stopping = true;
        pthread_mutex_unlock(&checker->lock);
        wake(checker);
        pthread_join(checker->thread, NULL);
    }
    checker_hosts_clear(&checker->hosts);
    if (checker->wake_fd >= 0)
        close(checker->wake_fd);
    pthread_mutex_destroy(&checker->lock);
    free(checker);
}

void checker_ask(struct checker *checker, struct server_thread *home, const char *url,
                 unsigned timeout_ms, checker_fn *done, void *arg)
{
    struct checker_wait *wait = calloc(1, sizeof(*wait));

    if (wait == NULL)
        abort();
    wait->home = home;
    wait->done = done;
    wait->arg = arg;
    server_thread_hold(home);
    pthread_mutex_lock(&checker->lock);
    if (!checker->started)
        checker->started = pthread_create(&checker->thread, NULL, run, checker) == 0;
    if (checker->started)
        checker_hosts_ask(&checker->hosts, wait, url, timeout_ms, monotonic_ms());
    else
        checker_tell_unknown(wait, "the checker cannot be started");
    pthread_mutex_unlock(&checker->lock);
    wake(checker);
}

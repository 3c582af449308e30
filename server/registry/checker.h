/* Does a CPS answer? Asked by the routes that take CPS URLs, answered by a process of its own
 * (checker_process.h), which is started when it is first needed and again when it ends.
 *
 * One check at a time for a host and port, CPS_CHECK_MAX_RUNNING in all; the others wait, so many
 * and so long. A result is kept for a while: a good one for a minute, a bad one for five seconds,
 * because somebody may just be mending it. Nobody who does not ask is held up. */
#ifndef REGISTRY_CHECKER_H
#define REGISTRY_CHECKER_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

struct checker;
struct config;
struct metrics;
struct server_thread;

enum checker_verdict {
    CHECKER_GOOD,
    CHECKER_BAD,
    CHECKER_UNKNOWN, /* it was not checked: no checker, or too much to do */
    CHECKER_VERDICTS
};

struct checker_result {
    enum checker_verdict verdict;
    unsigned status;  /* of HTTP; 0 when there was no whole answer */
    unsigned ms;      /* the check took */
    char detail[480]; /* printable ASCII; "" when good */
};

/* On the thread that asked. */
typedef void checker_fn(void *arg, const struct checker_result *result);

/* `config` is borrowed: lab and tls_ca count. Starts neither a thread nor a process yet. */
enum sticps_err checker_new(const struct config *config, struct checker **out,
                            struct sticps_error *err) STICPS_MUST_CHECK;
/* After server_run has returned. Accepts NULL. */
void checker_free(struct checker *checker);

/* `url` is a CPS URL that obeys the rules of PROTOCOL section 1; its host and port are what is
 * checked. Called on `home`, which stays alive until done(arg, …) has run there, always later than
 * this call, within a bounded time. */
void checker_ask(struct checker *checker, struct server_thread *home, const char *url,
                 unsigned timeout_ms, checker_fn *done, void *arg);

/* Its families for metrics. Any thread. */
void checker_write(struct metrics *metrics, const struct checker *checker);

/* The part of a CPS URL that is checked: scheme, host and port. Its length. */
size_t checker_origin(const char *url);

#endif

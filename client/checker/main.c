/* sticps-cps-check: asks, for sticps-registryd, whether CPSs answer. Started by it with one end of
 * a socket pair as standard input (common/cps_check.h); ends when the other end is closed. No
 * database, no keys, no more rights than it needs (confine.h). The address rules of PROTOCOL
 * section 4, the deadline and the limits are those of every fetch (client/fetch.h). */
#include "client/checker/confine.h"
#include "client/fetch.h"
#include "client/loop.h"
#include "client/options.h"
#include "common/cps_check.h"

#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHANNEL STDIN_FILENO
#define MAX_TIMEOUT_MS 60000

static atomic_uint running;

struct check {
    uint64_t id;
    struct timespec started;
};

/* ---- reports ---- */

static uint32_t ms_since(const struct timespec *started)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)((now.tv_sec - started->tv_sec) * 1000 +
                      (now.tv_nsec - started->tv_nsec) / 1000000);
}

/* A datagram is sent whole or not at all; when the registry is gone, so are we soon. */
static void report(const struct check *check, int status, const char *detail)
{
    struct cps_check_report out = {.id = check->id,
                                   .good = detail == NULL,
                                   .status = (uint32_t)status,
                                   .ms = ms_since(&check->started)};

    snprintf(out.detail, sizeof(out.detail), "%s", detail != NULL ? detail : "");
    (void)!send(CHANNEL, &out, sizeof(out), MSG_NOSIGNAL);
}

/* What fetch_error advises is for whoever runs the command; an SP has neither option. */
static const char *reason(enum sticps_err code, struct sticps_error *err)
{
    if (code == STICPS_ERR_ADDRESS)
        return "the host's address is loopback, private or special, where no CPS may be";
    char *advice = strstr(err->text, "; a private root is given");
    if (advice != NULL)
        *advice = '\0';
    return err->text;
}

static void on_fetched(void *ctx, enum sticps_err code, const struct sticps_error *err,
                       const struct fetch_answer *answer)
{
    struct check *check = ctx;
    struct sticps_error why = *err;

    if (code == STICPS_OK && answer->status == 200) {
        report(check, answer->status, NULL);
    } else if (code == STICPS_OK) {
        (void)fetch_bad_status(&why, NULL, answer->status);
        report(check, answer->status, why.text);
    } else {
        report(check, 0, reason(code, &why));
    }
    free(check);
    atomic_fetch_sub(&running, 1);
}

/* ---- orders ---- */

static void start(struct fetcher *fetcher, struct cps_check_order *order)
{
    struct check *check = calloc(1, sizeof(*check));
    struct sticps_error err = {0};
    struct url url;

    if (check == NULL)
        return; /* the registry's own deadline ends it */
    check->id = order->id;
    clock_gettime(CLOCK_MONOTONIC, &check->started);
    order->url[sizeof(order->url) - 1] = '\0';
    const struct fetch_request request = {
        .url = order->url,
        .timeout_ms = order->timeout_ms < MAX_TIMEOUT_MS ? order->timeout_ms : MAX_TIMEOUT_MS,
        .max_body = CPS_CHECK_MAX_BODY,
        .anew = true, /* the handshake is part of what is checked */
    };
    enum sticps_err rc = url_parse(order->url, strlen(order->url), &url, &err);
    bool busy = atomic_fetch_add(&running, 1) >= CPS_CHECK_MAX_RUNNING;

    if (rc == STICPS_OK && busy)
        rc = fail(&err, STICPS_ERR_FETCH, NULL, "the checker has too much to do");
    if (rc == STICPS_OK)
        rc = fetch_start(fetcher, &request, on_fetched, check, &err);
    if (rc == STICPS_OK)
        return;
    report(check, 0, err.text);
    free(check);
    atomic_fetch_sub(&running, 1);
}

/* Until the registry closes its end. */
static void serve(struct fetcher *fetcher)
{
    struct cps_check_order order;
    ssize_t len;

    while ((len = recv(CHANNEL, &order, sizeof(order), MSG_TRUNC)) > 0)
        if (len == sizeof(order))
            start(fetcher, &order);
}

/* ---- the process ---- */

/* Into the registry's log. */
static int complain(const char *level, const char *what)
{
    fprintf(stderr, "{\"level\":\"%s\",\"msg\":\"" CPS_CHECK_PROGRAM "\",\"reason\":\"%s\"}\n",
            level, what);
    return EXIT_FAILURE;
}

static enum sticps_err read_options(int argc, char **argv, struct sticps_options *options,
                                    struct sticps_error *err)
{
    static const struct option known[] = {
        {"lab", no_argument, NULL, 'l'}, {"tls-ca", required_argument, NULL, 'r'}, {0}};
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        enum sticps_err rc = STICPS_OK;

        if (option == 'l')
            sticps_options_set_lab(options, true);
        else if (option == 'r')
            rc = sticps_options_add_tls_ca_file(options, optarg, err);
        else
            rc = STICPS_ERR_USAGE;
        if (rc != STICPS_OK)
            return rc;
    }
    return STICPS_OK;
}

static bool is_started_by_registry(void)
{
    int type = 0;
    socklen_t len = sizeof(type);

    return getsockopt(CHANNEL, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

static enum sticps_err prepare(int argc, char **argv, bool *files_open, struct fetcher **out,
                               struct sticps_error *err)
{
    struct sticps_options *options = sticps_options_new();
    struct loop *loop = NULL;

    if (options == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    enum sticps_err rc = read_options(argc, argv, options, err);
    if (rc == STICPS_OK)
        rc = confine(files_open, err);
    if (rc == STICPS_OK)
        rc = loop_new(&loop, err);
    if (rc == STICPS_OK)
        rc = fetcher_new(loop, options, out, err);
    return rc == STICPS_OK ? loop_start_thread(loop, err) : rc;
}

/* Ends by _exit: nobody waits for the checks under way, and nothing needs to be tidied. */
int main(int argc, char **argv)
{
    struct sticps_error err = {.text = "the arguments are not understood"};
    struct fetcher *fetcher = NULL;
    bool files_open = false;

    if (!is_started_by_registry())
        return complain("error", "this program is started by sticps-registryd and by nobody else");
    /* the registry's word counts, not what a service manager or a terminal sends to all */
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    if (prepare(argc, argv, &files_open, &fetcher, &err) != STICPS_OK)
        _exit(complain("error", err.text));
    if (files_open)
        complain("warn", "this kernel has no Landlock, so files stay readable to the checker");
    serve(fetcher);
    _exit(EXIT_SUCCESS);
}

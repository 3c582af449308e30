/* sticps doctor: the way to a server, from its name to its answer. */
#include "client/cli/doctor.h"
#include "client/client.h"
#include "common/address.h"
#include "common/url.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_ADDRESSES 8
#define MAX_STAGE_MS 10000 /* for one stage, whatever the request itself may take */
#define CLOCK_OFF 5        /* seconds that PASSporTs may come from the future */

struct look {
    struct doctor *doctor;
    const char *subject;
    char host[256], port[8];
    bool is_name;
    unsigned stage_ms;
};

/* ---- the name ---- */

/* With a deadline, which getaddrinfo has not. On the heap: when it passes, the resolver's thread
 * still has it, and keeps it. */
struct lookup {
    struct gaicb gai;
    struct addrinfo hints;
    char host[256], port[8];
};

static int resolve(const struct look *look, struct addrinfo **out)
{
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    if (lookup == NULL)
        return EAI_MEMORY;
    memcpy(lookup->host, look->host, sizeof(lookup->host));
    memcpy(lookup->port, look->port, sizeof(lookup->port));
    lookup->hints.ai_socktype = SOCK_STREAM;
    lookup->gai.ar_name = lookup->host;
    lookup->gai.ar_service = lookup->port;
    lookup->gai.ar_request = &lookup->hints;
    struct gaicb *list[] = {&lookup->gai};
    struct timespec timeout = {look->stage_ms / 1000, (long)(look->stage_ms % 1000) * 1000000L};
    int error = getaddrinfo_a(GAI_NOWAIT, list, 1, NULL);
    if (error == 0) {
        (void)gai_suspend((const struct gaicb *const *)list, 1, &timeout);
        error = gai_error(&lookup->gai);
        if (error == EAI_INPROGRESS && gai_cancel(&lookup->gai) != EAI_CANCELED)
            return EAI_INPROGRESS;
    }
    *out = lookup->gai.ar_result;
    free(lookup);
    return error;
}

static void address_text(const struct addrinfo *address, char *out, size_t size)
{
    if (getnameinfo(address->ai_addr, address->ai_addrlen, out, (socklen_t)size, NULL, 0,
                    NI_NUMERICHOST) != 0)
        snprintf(out, size, "?");
}

/* NULL when there is none. */
static struct addrinfo *look_up(struct look *look)
{
    struct addrinfo *addresses = NULL;
    char text[400] = "", one[INET6_ADDRSTRLEN + 16];
    int error = resolve(look, &addresses);
    size_t len = 0;
    for (const struct addrinfo *a = addresses; a != NULL && len < sizeof(text); a = a->ai_next) {
        address_text(a, one, sizeof(one));
        int n = snprintf(text + len, sizeof(text) - len, "%s %s", len > 0 ? "," : "", one);
        len += n > 0 ? (size_t)n : 0;
    }
    struct report_step *step =
        report_add(&look->doctor->report, look->subject, "dns", "%s:%s", look->host, text);
    if (error == 0)
        return addresses;
    struct sticps_error err;
    fail(&err, STICPS_ERR_FETCH, look->host, "the name cannot be resolved: %s",
         error == EAI_INPROGRESS ? "no answer in time" : gai_strerror(error));
    step_fail(step, &err, "Check the name, and the name servers of this machine.");
    return NULL;
}

/* ---- the connections ---- */

static bool is_closed(const struct addrinfo *address, bool lab)
{
    if (address->ai_family == AF_INET)
        return address_is_closed(&((const struct sockaddr_in *)address->ai_addr)->sin_addr, 4, lab);
    if (address->ai_family == AF_INET6)
        return address_is_closed(&((const struct sockaddr_in6 *)address->ai_addr)->sin6_addr, 16,
                                 lab);
    return true;
}

/* A connected socket that does not block, or -1 with errno. */
static int connect_to(const struct addrinfo *address, unsigned timeout_ms)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    int error = connect(fd, address->ai_addr, address->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        struct pollfd fds = {.fd = fd, .events = POLLOUT};
        socklen_t len = sizeof(error);
        if (poll(&fds, 1, (int)timeout_ms) == 0)
            error = ETIMEDOUT;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
            error = errno;
    }
    if (error == 0)
        return fd;
    close(fd);
    errno = error;
    return -1;
}

/* One address, one step; -1 with a warning, which net_look may make a failure. */
static int try_address(struct look *look, const struct addrinfo *address)
{
    struct doctor *doctor = look->doctor;
    char text[INET6_ADDRSTRLEN + 16];
    address_text(address, text, sizeof(text));
    if (is_closed(address, doctor->o.lab)) {
        step_warn(
            report_add(&doctor->report, look->subject, "connect", "%s port %s", text, look->port),
            sticps_err_name(STICPS_ERR_ADDRESS),
            "Have the name point to a public address; only --lab opens others.",
            "not tried: the address is loopback, private or special, where no peer may be");
        return -1;
    }
    uint64_t began = loop_now();
    int fd = connect_to(address, look->stage_ms);
    int error = errno;
    struct report_step *step =
        report_add(&doctor->report, look->subject, "connect", "%s port %s, %" PRIu64 " ms", text,
                   look->port, loop_now() - began);
    if (fd < 0)
        step_warn(step, sticps_err_name(STICPS_ERR_FETCH),
                  "See that the server runs and listens there, and that no firewall is between.",
                  "cannot connect: %s", strerror(error));
    return fd;
}

/* The first socket that connected, or -1. All addresses are tried. */
static int connect_all(struct look *look, const struct addrinfo *addresses)
{
    int first = -1, count = 0;
    for (const struct addrinfo *a = addresses; a != NULL && count < MAX_ADDRESSES; a = a->ai_next) {
        int fd = try_address(look, a);
        if (fd >= 0 && first >= 0)
            close(fd);
        else if (fd >= 0)
            first = fd;
        count++;
    }
    return first;
}

size_t net_look(struct doctor *doctor, const char *subject, const char *url, unsigned timeout_ms)
{
    struct look look = {.doctor = doctor, .subject = subject};
    struct url parts;
    if (url_parse(url, strlen(url), &parts, NULL) != STICPS_OK ||
        parts.host_len >= sizeof(look.host))
        return NET_NO_BLAME; /* the request says so itself */
    memcpy(look.host, parts.host, parts.host_len);
    snprintf(look.port, sizeof(look.port), "%u", parts.port);
    look.is_name = parts.host_kind == URL_HOST_NAME;
    look.stage_ms = timeout_ms < MAX_STAGE_MS ? timeout_ms : MAX_STAGE_MS;
    struct report *report = &doctor->report;
    struct addrinfo *addresses = look_up(&look);
    if (addresses == NULL)
        return report->len - 1;
    int fd = connect_all(&look, addresses);
    freeaddrinfo(addresses);
    if (fd < 0)
        return report->len - 1;
    bool good = tls_look(doctor, subject, fd, look.host, look.is_name, loop_now() + look.stage_ms);
    close(fd);
    return good ? NET_NO_BLAME : report->len - 1;
}

/* ---- what came of it ---- */

void net_see(struct net_seen *seen, const struct fetch_answer *answer)
{
    *seen = (struct net_seen){.answered = true,
                              .status = answer->status,
                              .len = answer->body_len,
                              .date = fetch_answer_date(answer)};
    snprintf(seen->type, sizeof(seen->type), "%s",
             answer->content_type[0] != '\0' ? answer->content_type : "no content type");
}

static void add_clock(struct doctor *doctor, const char *subject, int64_t date)
{
    int64_t ahead = doctor->now - date;
    struct report_step *step =
        report_add(&doctor->report, subject, "clock", "%" PRId64 " s ahead of the server's", ahead);
    if (ahead > CLOCK_OFF || ahead < -CLOCK_OFF)
        step_warn(step, "CLOCK", "Set this machine's clock by NTP, or have the server's set.",
                  "one of the two clocks is wrong; lists and PASSporTs are judged by this one");
}

void net_settle(struct doctor *doctor, const char *subject, const char *url, size_t blame,
                const struct net_seen *seen, const struct sticps_error *err)
{
    struct report *report = &doctor->report;
    bool failed = err->code == STICPS_ERR_FETCH || err->code == STICPS_ERR_ADDRESS;
    bool told = blame < report->len;
    if (told) {
        struct report_step *step = &report->items[blame];
        step->result = failed ? STEP_FAILED : STEP_WARNING;
        step->err = err->code;
        step->code = failed ? sticps_err_name(err->code) : step->code;
    }
    if (seen->answered)
        report_add(report, subject, "http", "%s: status %d, %s, %zu bytes", url, seen->status,
                   seen->type, seen->len);
    if (failed && !told)
        step_fail(seen->answered && report->len > 0
                      ? &report->items[report->len - 1]
                      : report_add(report, subject, "http", "%s", url),
                  err, NULL);
    if (seen->answered && seen->date >= 0)
        add_clock(doctor, subject, seen->date);
}

#include "server/registry/write_rate.h"

#include "server/http/log.h"
#include "server/http/rate.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/http/timer.h"
#include "server/registry/daemon.h"

#include <string.h>

bool write_rate_allows(struct request *request)
{
    struct node *node = node_of(request);
    const char *sp = request_param(request, "sp");
    unsigned wait = rate_ask(node->daemon->writes, sp, strlen(sp), monotonic_us());

    if (wait == 0)
        return true;
    counter_add(&node->stats.writes_limited, 1);
    log_fields(LOG_LEVEL_WARN, "refused", LOG_TEXT("code", PROBLEM_TOO_MANY_REQUESTS.code),
               LOG_TEXT("client", request_client(request)), LOG_TEXT("path", request_path(request)),
               LOG_TEXT("reason", "too many writes for this account"));
    reply_header(request, "retry-after", request_printf(request, "%u", wait));
    reply_problem(request, &PROBLEM_TOO_MANY_REQUESTS,
                  "too many writes for this account; try again in %u s", wait);
    return false;
}

/* Refusals of callers that may not write for this account. */
static bool counts(const char *outcome)
{
    static const char *const not [] = {"UNAUTHENTICATED",     "FORBIDDEN",      "SCOPE_MISSING",
                                       "ADDRESS_NOT_ALLOWED", "PROOF_REPLAYED", "PROOF_TIME"};

    for (size_t i = 0; i < sizeof(not ) / sizeof(not [0]); i++)
        if (strcmp(outcome, not [i]) == 0)
            return false;
    return true;
}

void write_rate_count(struct request *request, const char *outcome)
{
    const char *sp = request_param(request, "sp");

    if (counts(outcome))
        (void)rate_take(node_of(request)->daemon->writes, sp, strlen(sp), monotonic_us());
}

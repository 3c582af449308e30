/* GET /v1/resolve/{tn}: who serves a number and where its CPS is, each step named (PROTOCOL section
 * 7), as `sticps resolve --json` says it. 200 also when there is no URL: `code` tells why. */
#include "client/report/report.h"
#include "server/agent/agent.h"
#include "server/agent/engine.h"
#include "server/http/reply.h"
#include "server/http/request.h"

void resolve_get(struct request *request)
{
    static const char *const known[] = {NULL};
    struct agent_thread *thread = request_state(request);
    const char *number = request_param(request, "tn");
    struct sticps_error err = {0};
    if (!request_query_only(request, known))
        return;
    enum sticps_err code =
        sticps_resolve(engine_client(thread->engine), number, thread->answer, &err);
    (void)code; /* the answer has it */
    json_t *body = report_answer(number, thread->answer, &err);
    if (body != NULL)
        reply_json(request, 200, body);
    else
        reply_problem(request, &PROBLEM_UNAVAILABLE, "out of memory");
}

/* The way of a provisioning request, the same for all: its texts are checked and every fault
 * gathered, one SQL function is called with the caller's session and address, and what it returns
 * becomes the answer (PROTOCOL section 3). The rules themselves are in sql/.
 *
 *     struct api_text body[] = {{.name = "url", .required = true}};
 *     struct api call;
 *
 *     api_begin(&call, request);
 *     const char *sp = api_sp(&call);
 *     api_body(&call, body, 1);
 *     if (api_refused(&call))
 *         return;
 *     api_run(&call, &STATEMENT, (const char *[]){NULL, NULL, sp, body[0].value}, …);
 *
 * On the request's thread. */
#ifndef REGISTRY_API_H
#define REGISTRY_API_H

#include "common/spc.h"
#include "server/db/pool.h"
#include "server/http/pending.h"
#include "server/http/reply.h"
#include "server/http/request.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct api {
    struct request *request;
    json_t *body;                  /* owned until api_refused or api_end */
    json_t *errors;                /* 422; NULL while there are none */
    const struct problem *problem; /* what to refuse with, NULL to go on */
    char detail[700];
};

enum api_kind { API_STRING, API_LIST, API_INTEGER };

/* A member of the body. */
struct api_text {
    const char *name;
    bool required;
    enum api_kind kind;
    const char *value; /* of a string: NUL-terminated, of the body; NULL when absent */
    size_t len;
    const json_t *json; /* of the body, of that kind; NULL when absent */
};

void api_begin(struct api *call, struct request *request);

/* Path parameters, in the form of the protocol, or NULL after noting the fault. */
const char *api_sp(struct api *call);
const char *api_user(struct api *call);
bool api_spc(struct api *call, struct spc *out);

/* The body: an object of exactly these members. Values stay valid until api_end. */
void api_body(struct api *call, struct api_text *members, size_t len);
/* Notes a fault unless it is absent or has 1 to `max` characters, none of them a control character.
 */
void api_label(struct api *call, const struct api_text *label, size_t max);
/* A route without one: nothing, or {}. */
void api_no_body(struct api *call);

/* Notes a fault of the request; `pointer` as in RFC 6901. */
void api_fault(struct api *call, const char *pointer, const char *format, ...) STICPS_PRINTF(3, 4);

/* Refuses with another problem than 422, in place of the faults noted so far. */
void api_refuse(struct api *call, const struct problem *problem, const char *detail);

/* A parameter of the query: NULL when absent, or after noting the fault. */
const char *api_query(struct api *call, const char *name);
/* The same as a whole number of [min, max]; `fallback` when absent, or after noting the fault. */
int64_t api_query_int(struct api *call, const char *name, int64_t min, int64_t max,
                      int64_t fallback);
/* ?limit= (1 to 1,000, default 100): as text in `out`, which has room for 8. */
void api_limit(struct api *call, char *out, size_t size);

/* True when a fault was noted: the answer is on its way and the body is gone. A caller whose
 * session is over hears that, and not what is wrong with the request. */
bool api_refused(struct api *call);
/* Frees what the call holds; for ways out that neither refuse nor run. */
void api_end(struct api *call);

/* How the reply is to be dressed. First member of the data of every pending that api_on_result
 * serves. */
struct api_dress {
    const char *location;             /* of what was created, from the request's memory; or NULL */
    const char *secret_name, *secret; /* to be added to the body, shown this once; or NULL */
    json_t *check;                    /* to be added to the body as "check"; borrowed; or NULL */
};

/* Calls "SELECT * FROM function($1 …)" with the caller's session and address in params[0] and
 * params[1] (left NULL by the handler; the second only when statement->params > 1 and
 * `with_address`), and replies with what it returns. Ends the call. */
void api_run(struct api *call, const struct db_statement *statement, const char **params,
             bool with_address, const struct api_dress *dress);

/* The callback for callers that start the query themselves, with a struct pending whose data begins
 * with a struct api_dress. */
void api_on_result(const struct db_result *result, void *pending);

/* Replies 503 or 500 for a query that did not succeed; true when it did, with one row. */
bool api_result_ok(struct request *request, const struct db_result *result);
/* The same for a query of any number of rows. */
bool api_query_ok(struct request *request, const struct db_result *result);
/* Replies with a refusal: the outcome's problem. For outcomes that are no success. */
void api_reply_refusal(struct request *request, const char *outcome, const char *detail,
                       long long version);
/* The same with "errors" (may be NULL), which is taken over. */
void api_reply_refusal_errors(struct request *request, const char *outcome, const char *detail,
                              long long version, json_t *errors);

/* Bits of route.role. A list route: open to all while lists are public. */
#define API_ROLE_LIST 1u
/* … of a route that writes entries of {sp}: counted by limits.writes_per_second. */
#define API_ROLE_SP_WRITE 2u
/* … of one entry, of {spc}: a proof by STI certificate opens it. */
#define API_ROLE_ENTRY 4u

#endif

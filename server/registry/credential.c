#include "server/registry/credential.h"

#include "server/http/log.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/http/router.h"
#include "server/registry/api.h"
#include "server/registry/api_key.h"
#include "server/registry/daemon.h"
#include "server/registry/proof.h"
#include "server/registry/session.h"
#include "server/registry/write_rate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USER_SIZE 65
#define TEXT_SIZE (4 + SESSION_HASH_TEXT_SIZE + 46) /* "key ", hash, an address as text */

struct caller {
    const char *text; /* for $1: `own`, or the request's memory */
    char own[TEXT_SIZE];
    char user[USER_SIZE];
    const char *advice;
    bool proof;
};

/* The same words whether such a key was never made, has expired or was revoked. */
static const char key_advice[] = "the API key is not valid";

const char *credential_of(const struct request *request)
{
    const struct caller *caller = request_identity(request);

    return caller != NULL ? caller->text : NULL;
}

const char *credential_user(const struct request *request)
{
    const struct caller *caller = request_identity(request);

    return caller != NULL ? caller->user : "";
}

bool credential_is_spent_by_use(const struct request *request)
{
    const struct caller *caller = request_identity(request);

    return caller != NULL && caller->proof;
}

const char *credential_advice(const struct request *request)
{
    const struct caller *caller = request_identity(request);

    return caller != NULL ? caller->advice : NULL;
}

static bool refuse(struct request *request, const char *reason, const char *advice)
{
    log_fields(LOG_LEVEL_WARN, "refused", LOG_TEXT("code", PROBLEM_UNAUTHENTICATED.code),
               LOG_TEXT("client", request_client(request)),
               LOG_TEXT("method", request_method(request)), LOG_TEXT("path", request_path(request)),
               LOG_TEXT("reason", reason));
    reply_problem(request, &PROBLEM_UNAUTHENTICATED, "%s", advice);
    return false;
}

/* False after it has replied, as the next. */
static bool read_key(struct request *request, const char *token, struct caller *out)
{
    char id[API_KEY_ID_SIZE], hash[SESSION_HASH_TEXT_SIZE];

    if (!api_key_parse(token, id))
        return refuse(request, "no API key by its form", key_advice);
    session_refresh_hash(token, strlen(token), hash);
    snprintf(out->own, sizeof(out->own), "key %s %s", hash, request_client(request));
    snprintf(out->user, sizeof(out->user), "key:%s", id);
    out->advice = key_advice;
    return true;
}

static bool read_token(struct request *request, const char *token, struct caller *out)
{
    const struct node *node = node_of(request);
    const struct sessions *sessions = node->daemon->sessions;
    struct identity identity;

    if (!sessions_ready(sessions)) {
        reply_problem(request, &PROBLEM_UNAVAILABLE, "the database cannot be reached; try again");
        return false;
    }
    if (!session_token_recall(sessions, node->tokens, token, &identity))
        return refuse(request, "no valid access token",
                      "the access token is not valid or has expired; sign in again");
    memcpy(out->own, identity.sid, sizeof(identity.sid));
    memcpy(out->user, identity.user, sizeof(identity.user));
    return true;
}

static struct caller *new_caller(void)
{
    struct caller *caller = calloc(1, sizeof(*caller));

    if (caller == NULL)
        abort();
    caller->text = caller->own;
    return caller;
}

void credential_set_proof(struct request *request, const char *text, const char *user)
{
    struct caller *caller = new_caller();

    caller->text = request_printf(request, "%s", text);
    snprintf(caller->user, sizeof(caller->user), "%s", user);
    caller->proof = true;
    request_set_identity(request, caller, free);
    request_log_user(request, caller->user);
}

bool credential_check(struct request *request, const struct route *route)
{
    const struct daemon *daemon = node_of(request)->daemon;
    const char *token = request_bearer(request);

    if (route->role == API_ROLE_LIST && daemon->config->list.is_public == CONFIG_ON)
        return true;
    if (token == NULL) {
        reply_problem(request, &PROBLEM_UNAUTHENTICATED,
                      "sign in, and send the access token, or send an API key");
        return false;
    }
    if (!api_key_meant(token) && !session_token_meant(daemon->sessions, token) &&
        proof_meant(token))
        return proof_check(request, route, token);
    struct caller *caller = new_caller();
    bool read = api_key_meant(token) ? read_key(request, token, caller)
                                     : read_token(request, token, caller);
    if (!read) {
        free(caller);
        return false;
    }
    request_set_identity(request, caller, free);
    request_log_user(request, caller->user);
    return (route->role & API_ROLE_SP_WRITE) == 0 || write_rate_allows(request);
}

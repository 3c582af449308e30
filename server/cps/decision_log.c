#include "server/cps/decision_log.h"

#include "common/error.h"
#include "common/url.h"
#include "server/http/log.h"
#include "server/http/request.h"

#include <stdio.h>
#include <string.h>

#define SHOWN_DIGITS 2

void mask_number(const struct tn *tn, char out[TN_MAX_DIGITS + 1])
{
    size_t len = strlen(tn->digits);
    for (size_t i = 0; i < len; i++)
        out[i] = i + SHOWN_DIGITS < len ? '*' : tn->digits[i];
    out[len] = '\0';
}

/* The host of an x5u, or "" for one that cannot be read. */
static void host_of(const char *x5u, char *out, size_t size)
{
    struct url url;
    out[0] = '\0';
    if (url_parse(x5u, strlen(x5u), &url, NULL) == STICPS_OK)
        snprintf(out, size, "%.*s", (int)url.host_len, url.host);
}

const char *verdict_name(const struct verify_result *result)
{
    switch (result->outcome) {
    case VERIFY_ACCEPTED:
        return "ACCEPTED";
    case VERIFY_REFUSED:
        return sticps_err_name(result->code);
    case VERIFY_BUSY:
        return "BUSY";
    case VERIFY_NOT_READY:
        return "NOT_READY";
    }
    return "";
}

void decision_log(struct request *request, const struct spc *served,
                  const struct verify_result *result)
{
    const struct verify_token *token =
        result->tokens_len > 0 ? &result->tokens[result->at_fault] : NULL;
    const struct passport *passport = token != NULL ? token->passport : NULL;
    char host[256] = "", orig[TN_MAX_DIGITS + 1] = "", dest[TN_MAX_DIGITS + 1] = "";
    if (passport != NULL) {
        host_of(passport->x5u, host, sizeof(host));
        mask_number(&passport->orig, orig);
        mask_number(&passport->dest[0], dest);
    }
    bool refused = result->outcome == VERIFY_REFUSED;
    log_fields(LOG_LEVEL_INFO, "passport", LOG_TEXT("verdict", verdict_name(result)),
               LOG_TEXT("request", request_id(request)),
               LOG_TEXT("client", request_client(request)), LOG_TEXT("served_spc", served->text),
               LOG_NUMBER("tokens", result->tokens_len), LOG_TEXT("x5u_host", host),
               LOG_TEXT("signer_spc", token != NULL ? token->spc.text : ""), LOG_TEXT("orig", orig),
               LOG_TEXT("dest", dest), LOG_TEXT("reason", refused ? result->err.text : ""),
               LOG_TEXT("where", refused ? result->err.where : ""));
}

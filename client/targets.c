#include "client/targets.h"

#include "client/client.h"
#include "client/resolve.h"
#include "sticps/resolve.h"

#include <string.h>

static enum sticps_err resolve(struct sticps_client *client, const struct tn *tn, bool asked,
                               struct sticps_answer *answer, struct sticps_error *err)
{
    char number[TN_MAX_DIGITS + 2] = "+"; /* canonical: nothing is to be added */
    memcpy(number + 1, tn->digits, TN_MAX_DIGITS + 1);
    return resolve_number(client, number, asked, answer, err);
}

bool targets_wait(struct sticps_client *client, const struct passport *passport,
                  struct sticps_answer *answer, unsigned ms, void (*done)(void *ctx), void *ctx)
{
    struct enum_wait *wait = NULL;
    for (size_t i = 0; i < passport->dest_len; i++) {
        if (client->enumeration == NULL ||
            resolve(client, &passport->dest[i], false, answer, NULL) != STICPS_ERR_WOULD_WAIT)
            continue;
        if (wait == NULL)
            wait = enum_wait_new(client->enumeration, passport->dest_len);
        if (wait == NULL)
            return false;
        enum_wait_add(wait, &passport->dest[i]);
    }
    return wait != NULL && enum_wait_start(wait, ms, done, ctx);
}

enum sticps_err targets_find(struct sticps_client *client, const struct passport *passport,
                             struct sticps_answer *answer, struct sticps_delivery *delivery,
                             struct sticps_error *err)
{
    enum sticps_err first = STICPS_OK, code = STICPS_OK;
    for (size_t i = 0; i < passport->dest_len && code != STICPS_ERR_NO_MEMORY; i++) {
        struct sticps_error why = {0};
        code = resolve(client, &passport->dest[i], true, answer, &why);
        if (code == STICPS_OK)
            code = delivery_add(delivery, sticps_answer_url(answer), &why);
        if (code != STICPS_OK && (first == STICPS_OK || code == STICPS_ERR_NO_MEMORY)) {
            first = code;
            *err = why;
        }
    }
    if (code == STICPS_ERR_NO_MEMORY)
        return code;
    return delivery->len > 0 ? STICPS_OK : first;
}

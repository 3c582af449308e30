#include "server/cps/ca_list.h"

#include "common/clock.h"
#include "common/error.h"
#include "server/http/log.h"

#include <sticps/list.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_SECONDS 30

struct ca_list {
    struct sticps_client *client;
    struct trust *trust;
    char *url;
    unsigned period;
    char published[65]; /* SHA-256 in hex of the list in use; touched by one thread at a time */
    pthread_mutex_t lock;
    bool fetching;    /* under the lock */
    int64_t next_due; /* under the lock */
};

/* Turns a list into anchors for everybody. */
static enum sticps_err publish(struct ca_list *self, const struct sticps_list *list,
                               struct sticps_error *err)
{
    struct anchors *anchors = NULL;
    enum sticps_err code = anchors_new(&anchors, err);
    for (size_t i = 0; code == STICPS_OK && i < sticps_list_count(list); i++) {
        const char *pem = sticps_list_value(list, i);
        code = anchors_add(anchors, pem, strlen(pem), STICPS_ERR_PAYLOAD, err);
    }
    if (code != STICPS_OK) {
        anchors_free(anchors);
        return code;
    }
    size_t count = anchors_count(anchors);
    code = trust_publish(self->trust, anchors, sticps_list_exp(list), err);
    if (code != STICPS_OK)
        return code;
    snprintf(self->published, sizeof(self->published), "%s", sticps_list_sha256(list));
    log_fields(LOG_LEVEL_INFO, "list of STI-CAs in use",
               LOG_NUMBER("sequence", sticps_list_sequence(list)),
               LOG_NUMBER("exp", sticps_list_exp(list)), LOG_NUMBER("anchors", count));
    return STICPS_OK;
}

static void on_list(void *ctx, enum sticps_err code, const struct sticps_error *err,
                    const struct sticps_list_result *result)
{
    struct ca_list *self = ctx;
    struct sticps_error own = {0};
    if (code == STICPS_OK && strcmp(self->published, sticps_list_sha256(result->list)) == 0) {
        trust_confirm(self->trust);
    } else if (code == STICPS_OK) {
        code = publish(self, result->list, &own);
        err = &own;
    }
    if (code != STICPS_OK)
        log_fields(LOG_LEVEL_WARN, "list of STI-CAs not taken, the last good one stays",
                   LOG_TEXT("code", sticps_err_name(code)), LOG_TEXT("reason", err->text),
                   LOG_TEXT("where", err->where));

    unsigned wait =
        code == STICPS_OK || self->period < RETRY_SECONDS ? self->period : RETRY_SECONDS;
    pthread_mutex_lock(&self->lock);
    self->fetching = false;
    self->next_due = clock_now(&clock_system) + wait;
    pthread_mutex_unlock(&self->lock);
}

static void use_held_list(struct ca_list *self)
{
    struct sticps_error err = {0};
    enum sticps_err code = sticps_list_load(self->client, STICPS_LIST_CA, &err);
    struct sticps_list *list =
        code == STICPS_OK ? sticps_list_held(self->client, STICPS_LIST_CA) : NULL;
    if (list != NULL)
        code = publish(self, list, &err);
    sticps_list_unref(list);
    if (code != STICPS_OK && code != STICPS_ERR_NO_LIST)
        log_warn("the held list of STI-CAs cannot be used: %s (%s)", err.text, err.where);
}

enum sticps_err ca_list_new(struct sticps_client *client, struct trust *trust, const char *url,
                            unsigned period, struct ca_list **out, struct sticps_error *err)
{
    struct ca_list *self = calloc(1, sizeof(*self));
    char *copy = strdup(url);
    if (self == NULL || copy == NULL) {
        free(self);
        free(copy);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    self->client = client;
    self->trust = trust;
    self->url = copy;
    self->period = period;
    pthread_mutex_init(&self->lock, NULL);
    use_held_list(self);
    *out = self;
    return STICPS_OK;
}

void ca_list_tick(struct ca_list *self, int64_t now)
{
    pthread_mutex_lock(&self->lock);
    /* next_due lies further ahead than a period only when the clock was set back */
    bool due =
        !self->fetching && (now >= self->next_due || self->next_due - now > (int64_t)self->period);
    if (due)
        self->fetching = true;
    pthread_mutex_unlock(&self->lock);
    if (due)
        sticps_trust_list_fetch(self->client, self->url, on_list, self);
}

void ca_list_refresh(struct ca_list *self)
{
    pthread_mutex_lock(&self->lock);
    self->next_due = 0;
    pthread_mutex_unlock(&self->lock);
}

void ca_list_free(struct ca_list *self)
{
    if (self == NULL)
        return;
    pthread_mutex_destroy(&self->lock);
    free(self->url);
    free(self);
}

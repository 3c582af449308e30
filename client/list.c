#include "client/list.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sticps_list {
    atomic_uint refs;
    enum sticps_list_kind kind;
    struct signed_list *payload;
    char *jws, *source;
    char sha256[65];
    int64_t fetched_at;
};

static enum sticps_err parse(enum sticps_list_kind kind, const char *jws, size_t len,
                             struct signed_list **out, struct sticps_error *err)
{
    /* It was accepted under the rules of its time; what is open now is decided when connecting. */
    const struct url_rules rules = {.lab = true, .any_form = true};
    struct jws parts = {0};
    enum sticps_err code = jws_split(jws, len, STICPS_ERR_STATE, &parts, err);
    if (code != STICPS_OK)
        return code;
    code = signed_list_parse(&parts, payload_kind(kind), -1, INT64_MAX, &rules, out, err);
    jws_clear(&parts);
    return code;
}

/* Takes over payload and text when it succeeds. */
static enum sticps_err make(enum sticps_list_kind kind, struct signed_list *payload, char *jws,
                            const char *sha256, const char *source, int64_t fetched_at,
                            struct sticps_list **out, struct sticps_error *err)
{
    struct sticps_list *list = calloc(1, sizeof(*list));
    if (list == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    atomic_init(&list->refs, 1);
    list->kind = kind;
    list->source = strdup(source);
    list->fetched_at = fetched_at;
    snprintf(list->sha256, sizeof(list->sha256), "%s", sha256);
    if (list->source == NULL) {
        sticps_list_unref(list);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    list->payload = payload;
    list->jws = jws;
    *out = list;
    return STICPS_OK;
}

enum sticps_err list_from_held(enum sticps_list_kind kind, const char *jws, size_t len,
                               const char *sha256, const char *source, int64_t fetched_at,
                               struct sticps_list **out, struct sticps_error *err)
{
    struct signed_list *payload = NULL;
    enum sticps_err code = parse(kind, jws, len, &payload, err);
    char *copy = code == STICPS_OK ? strndup(jws, len) : NULL;
    if (code == STICPS_OK)
        code = copy != NULL ? make(kind, payload, copy, sha256, source, fetched_at, out, err)
                            : fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (code != STICPS_OK) {
        signed_list_free(payload);
        free(copy);
    }
    return code;
}

enum sticps_err list_from_payload(enum sticps_list_kind kind, struct signed_list **payload,
                                  const struct list_state *state, struct sticps_list **out,
                                  struct sticps_error *err)
{
    enum sticps_err code =
        make(kind, *payload, state->jws, state->sha256, state->source, state->fetched_at, out, err);
    if (code == STICPS_OK)
        *payload = NULL;
    return code;
}

const struct signed_list *list_payload(const struct sticps_list *list)
{
    return list->payload;
}

struct sticps_list *sticps_list_ref(struct sticps_list *list)
{
    atomic_fetch_add_explicit(&list->refs, 1, memory_order_relaxed);
    return list;
}

void sticps_list_unref(struct sticps_list *list)
{
    if (list == NULL || atomic_fetch_sub_explicit(&list->refs, 1, memory_order_acq_rel) != 1)
        return;
    signed_list_free(list->payload);
    free(list->jws);
    free(list->source);
    free(list);
}

enum sticps_list_kind sticps_list_kind(const struct sticps_list *list)
{
    return list->kind;
}

int64_t sticps_list_sequence(const struct sticps_list *list)
{
    return list->payload->sequence;
}

int64_t sticps_list_exp(const struct sticps_list *list)
{
    return list->payload->exp;
}

int64_t sticps_list_fetched_at(const struct sticps_list *list)
{
    return list->fetched_at;
}

const char *sticps_list_source(const struct sticps_list *list)
{
    return list->source;
}

const char *sticps_list_sha256(const struct sticps_list *list)
{
    return list->sha256;
}

const char *sticps_list_jws(const struct sticps_list *list)
{
    return list->jws;
}

size_t sticps_list_count(const struct sticps_list *list)
{
    return list->kind == STICPS_LIST_CPS ? list->payload->entries_len : list->payload->trusted_len;
}

const char *sticps_list_key(const struct sticps_list *list, size_t index)
{
    if (index >= sticps_list_count(list))
        return NULL;
    return list->kind == STICPS_LIST_CPS ? list->payload->entries[index].spc.text : "";
}

const char *sticps_list_value(const struct sticps_list *list, size_t index)
{
    if (index >= sticps_list_count(list))
        return NULL;
    return list->kind == STICPS_LIST_CPS ? list->payload->entries[index].url
                                         : list->payload->trusted[index];
}

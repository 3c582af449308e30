#include "server/registry/list_diff.h"

#include "common/jws.h"
#include "common/signed_list.h"
#include "server/registry/ca_directory.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading a published list ---- */

/* Its URLs were checked when it was made, under rules that may have changed since. */
static const struct url_rules any_rules = {.lab = true};

static void take_entries(struct list_content *content)
{
    const struct signed_list *parsed = content->parsed;

    for (size_t i = 0; i < parsed->entries_len; i++)
        content->list.items[i] =
            (struct list_item){parsed->entries[i].spc.text, parsed->entries[i].url};
    content->list.len = parsed->entries_len;
}

static enum sticps_err take_cas(struct list_content *content, struct sticps_error *err)
{
    const struct signed_list *parsed = content->parsed;
    enum sticps_err rc = ca_set_parse(parsed->trusted, parsed->trusted_len, &content->cas, err);

    if (rc != STICPS_OK)
        return rc;
    for (size_t i = 0; i < content->cas->len; i++)
        content->list.items[i] =
            (struct list_item){content->cas->items[i].sha256, content->cas->items[i].subject};
    content->list.len = content->cas->len;
    return STICPS_OK;
}

enum sticps_err list_content_parse(enum list_kind kind, const char *jws_text, size_t len,
                                   struct list_content **out, struct sticps_error *err)
{
    enum signed_list_kind form = kind == LIST_CA ? SIGNED_LIST_TRUST_LIST : SIGNED_LIST_CPS_MAPPING;
    struct list_content *content = calloc(1, sizeof(*content));
    struct jws jws = {0};
    enum sticps_err rc;

    if (content == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    rc = jws_split(jws_text, len, STICPS_ERR_STATE, &jws, err);
    if (rc == STICPS_OK)
        rc = signed_list_parse(&jws, form, -1, 0, &any_rules, &content->parsed, err);
    jws_clear(&jws);
    if (rc == STICPS_OK) {
        content->sequence = content->parsed->sequence;
        content->list.items =
            calloc(content->parsed->entries_len + content->parsed->trusted_len + 1,
                   sizeof(*content->list.items));
        if (content->list.items == NULL)
            rc = fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    if (rc == STICPS_OK && kind == LIST_CA)
        rc = take_cas(content, err);
    else if (rc == STICPS_OK)
        take_entries(content);
    if (rc == STICPS_OK) {
        *out = content;
        return STICPS_OK;
    }
    fail_context(err, "the last %s", list_kind_name(kind));
    list_content_free(content);
    return rc == STICPS_ERR_NO_MEMORY ? rc : STICPS_ERR_STATE;
}

void list_content_free(struct list_content *content)
{
    if (content == NULL)
        return;
    free(content->list.items);
    ca_set_free(content->cas);
    signed_list_free(content->parsed);
    free(content);
}

/* ---- differences ---- */

bool list_walk_next(struct list_walk *walk, enum list_change *change,
                    const struct list_item **before, const struct list_item **after)
{
    const struct list_item *old = NULL, *new = NULL;

    if (walk->before_at < walk->before->len)
        old = &walk->before->items[walk->before_at];
    if (walk->after_at < walk->after->len)
        new = &walk->after->items[walk->after_at];
    if (old == NULL && new == NULL)
        return false;
    int order = old == NULL ? 1 : new == NULL ? -1 : strcmp(old->key, new->key);
    *before = order <= 0 ? old : NULL;
    *after = order >= 0 ? new : NULL;
    walk->before_at += order <= 0;
    walk->after_at += order >= 0;
    if (order != 0)
        *change = order < 0 ? LIST_REMOVED : LIST_ADDED;
    else if (old->value != NULL && new->value != NULL && strcmp(old->value, new->value) != 0)
        *change = LIST_CHANGED;
    else
        *change = LIST_SAME;
    return true;
}

/* ---- the brake ---- */

enum sticps_err list_loss_count(enum list_kind kind, const struct list_items *before,
                                const struct list_items *after, struct list_loss *out,
                                struct sticps_error *err)
{
    struct list_walk walk = {before, after, 0, 0};
    const struct list_item *old, *new;
    unsigned char digest[SHA256_DIGEST_LENGTH];
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    const char *name = list_kind_name(kind);
    enum list_change change;
    size_t lost = 0;

    bool ok = hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(hash, name, strlen(name) + 1) == 1;
    while (ok && list_walk_next(&walk, &change, &old, &new))
        if (change == LIST_REMOVED) {
            ok = EVP_DigestUpdate(hash, old->key, strlen(old->key) + 1) == 1;
            lost++;
        }
    ok = ok && EVP_DigestFinal_ex(hash, digest, NULL) == 1;
    EVP_MD_CTX_free(hash);
    if (!ok)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    *out = (struct list_loss){.lost = lost, .of = before->len};
    for (size_t i = 0; 2 * i + 1 < sizeof(out->confirm); i++)
        snprintf(out->confirm + 2 * i, 3, "%02x", digest[i]);
    return STICPS_OK;
}

bool list_brake_holds(const struct config_brake *brake, const struct list_loss *loss)
{
    return loss->lost > brake->entries &&
           (uint64_t)loss->lost * 100 > (uint64_t)loss->of * brake->percent;
}

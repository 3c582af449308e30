#include "common/signed_list.h"

#include "common/cert.h"
#include "common/json_doc.h"
#include "common/spc_index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_MAX (16 * 1024) /* read before the signature is known to be good */

/* ---- rule 2: FORM ---- */

/* The JWS inside an envelope; it stays where the document has its text. */
static enum sticps_err find_in_envelope(const struct json_doc *doc, enum signed_list_kind kind,
                                        const struct json_node **out, struct sticps_error *err)
{
    const char *name = kind == SIGNED_LIST_CPS_MAPPING ? "cpsList" : "caList";
    if (!json_node_is(json_node_get(doc, doc->nodes, "status"), "success"))
        return fail(err, STICPS_ERR_FORM, "status", "the status of the answer is not \"success\"");
    const struct json_node *list = json_node_get(doc, doc->nodes, name);
    if (list == NULL || list->kind != JSON_NODE_STRING)
        return fail(err, STICPS_ERR_FORM, name, "the answer has no string \"%s\"", name);
    *out = list;
    return STICPS_OK;
}

static enum sticps_err unwrap_envelope(const char *body, size_t len, enum signed_list_kind kind,
                                       const char **jws_text, size_t *jws_len, char **owned,
                                       struct sticps_error *err)
{
    struct json_doc doc;
    const struct json_node *list = NULL;
    enum sticps_err rc = json_doc_parse_object(body, len, STICPS_ERR_FORM, &doc, err);
    if (rc != STICPS_OK)
        return rc;
    rc = find_in_envelope(&doc, kind, &list, err);
    if (rc == STICPS_OK) {
        *jws_text = list->value.text;
        *jws_len = list->len;
        *owned = doc.text;
        doc.text = NULL;
    }
    json_doc_clear(&doc);
    return rc;
}

enum sticps_err signed_list_unwrap(const char *body, size_t len, enum signed_list_kind kind,
                                   const char **jws_text, size_t *jws_len, char **owned,
                                   struct sticps_error *err)
{
    if (len == 0)
        return fail(err, STICPS_ERR_FORM, NULL, "empty");
    if (body[0] == '{')
        return unwrap_envelope(body, len, kind, jws_text, jws_len, owned, err);
    if (body[len - 1] == '\n')
        len -= len >= 2 && body[len - 2] == '\r' ? 2 : 1;
    *jws_text = body;
    *jws_len = len;
    *owned = NULL;
    return STICPS_OK;
}

/* ---- rule 3: HEADER ---- */

static enum sticps_err check_header(const struct json_doc *doc, bool lab, const char **x5u,
                                    struct sticps_error *err)
{
    struct sticps_error why;
    const struct json_node *header = doc->nodes, *node = json_node_get(doc, header, "x5u");
    if (!json_node_is(json_node_get(doc, header, "alg"), "ES256"))
        return fail(err, STICPS_ERR_HEADER, "alg", "alg is not \"ES256\"");
    if (!json_node_is(json_node_get(doc, header, "typ"), "JWT"))
        return fail(err, STICPS_ERR_HEADER, "typ", "typ is not \"JWT\"");
    if (json_node_get(doc, header, "crit") != NULL)
        return fail(err, STICPS_ERR_HEADER, "crit", "crit names extensions that nobody here knows");
    if (node == NULL || node->kind != JSON_NODE_STRING)
        return fail(err, STICPS_ERR_HEADER, "x5u", "no x5u");
    if (x5u_check(node->value.text, node->len, lab, &why) != STICPS_OK)
        return fail(err, STICPS_ERR_HEADER, "x5u", "the x5u cannot be used: %s", why.text);
    *x5u = node->value.text;
    return STICPS_OK;
}

enum sticps_err signed_list_header_parse(const struct jws *jws, bool lab,
                                         struct signed_list_header *out, struct sticps_error *err)
{
    if (jws->header_len > HEADER_MAX)
        return fail(err, STICPS_ERR_HEADER, NULL, "a header of more than %d bytes", HEADER_MAX);
    struct json_doc doc;
    const char *x5u;
    enum sticps_err rc =
        json_doc_parse_object(jws->header, jws->header_len, STICPS_ERR_HEADER, &doc, err);
    if (rc != STICPS_OK)
        return rc;
    rc = check_header(&doc, lab, &x5u, err);
    if (rc == STICPS_OK) {
        char *copy = strdup(x5u);
        if (copy == NULL)
            rc = fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
        else
            out->x5u = copy;
    }
    json_doc_clear(&doc);
    return rc;
}

void signed_list_header_clear(struct signed_list_header *header)
{
    free(header->x5u);
    header->x5u = NULL;
}

/* ---- rule 6: PAYLOAD ---- */

static int on_compare(const void *a, const void *b)
{
    uint64_t left = spc_key(&((const struct cps_entry *)a)->spc);
    uint64_t right = spc_key(&((const struct cps_entry *)b)->spc);
    return (left > right) - (left < right);
}

static enum sticps_err read_entry(const struct json_node *node, const struct url_rules *rules,
                                  struct cps_entry *entry, struct sticps_error *err)
{
    struct sticps_error why;
    if (spc_from_claim(node->key, node->key_len, &entry->spc, &why) != STICPS_OK)
        return fail(err, STICPS_ERR_PAYLOAD, node->key, "a key of cpsMapping: %s", why.text);
    if (node->kind != JSON_NODE_STRING)
        return fail(err, STICPS_ERR_PAYLOAD, node->key,
                    "the value of %s in cpsMapping is no string", node->key);
    if (cps_url_check(node->value.text, node->len, rules, &why) != STICPS_OK)
        return fail(err, STICPS_ERR_PAYLOAD, node->key, "the URL of %s in cpsMapping: %s",
                    node->key, why.text);
    entry->url = node->value.text;
    return STICPS_OK;
}

static enum sticps_err read_mapping(const struct json_doc *doc, const struct json_node *mapping,
                                    const struct url_rules *rules, struct signed_list *list,
                                    struct sticps_error *err)
{
    if (mapping->kind != JSON_NODE_OBJECT)
        return fail(err, STICPS_ERR_PAYLOAD, "cpsMapping", "cpsMapping is not an object");
    if (mapping->len == 0)
        return STICPS_OK;
    list->entries = malloc(mapping->len * sizeof(*list->entries));
    list->index = spc_index_new(mapping->len);
    if (list->entries == NULL || list->index == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    bool sorted = true;
    const struct json_node *node = json_node_first(mapping);
    for (uint32_t i = 0; i < mapping->len; i++, node = json_node_next(doc, node)) {
        struct cps_entry *entry = &list->entries[i];
        enum sticps_err rc = read_entry(node, rules, entry, err);
        if (rc != STICPS_OK)
            return rc;
        sorted = sorted && (i == 0 || on_compare(entry - 1, entry) < 0);
        /* JSON text is shorter than 2^31 bytes (json_doc), and no code is there twice */
        spc_index_put(list->index, &entry->spc, (uint32_t)(entry->url - (char *)list->memory));
    }
    list->entries_len = mapping->len;
    if (!sorted)
        qsort(list->entries, list->entries_len, sizeof(*list->entries), on_compare);
    return STICPS_OK;
}

static enum sticps_err check_trusted(const struct json_node *node, size_t i,
                                     struct sticps_error *err)
{
    char where[32];
    snprintf(where, sizeof(where), "trustList[%zu]", i);
    if (node->kind != JSON_NODE_STRING)
        return fail(err, STICPS_ERR_PAYLOAD, where, "an element of trustList is no string");
    struct cert_chain *cert;
    struct sticps_error why;
    enum sticps_err rc =
        cert_chain_parse(node->value.text, node->len, STICPS_ERR_PAYLOAD, &cert, &why);
    if (rc != STICPS_OK)
        return fail(err, rc, where, "an element of trustList is no certificate: %s", why.text);
    if (cert_chain_len(cert) != 1)
        rc = fail(err, STICPS_ERR_PAYLOAD, where,
                  "an element of trustList has several certificates");
    cert_chain_unref(cert);
    return rc;
}

static enum sticps_err read_trusted(const struct json_doc *doc, const struct json_node *array,
                                    struct signed_list *list, struct sticps_error *err)
{
    if (array->kind != JSON_NODE_ARRAY)
        return fail(err, STICPS_ERR_PAYLOAD, "trustList", "trustList is not an array");
    if (array->len == 0)
        return STICPS_OK;
    list->trusted = malloc(array->len * sizeof(*list->trusted));
    if (list->trusted == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    const struct json_node *node = json_node_first(array);
    for (uint32_t i = 0; i < array->len; i++, node = json_node_next(doc, node)) {
        enum sticps_err rc = check_trusted(node, i, err);
        if (rc != STICPS_OK)
            return rc;
        list->trusted[i] = node->value.text;
    }
    list->trusted_len = array->len;
    return STICPS_OK;
}

static enum sticps_err read_claims(const struct json_doc *doc, const struct url_rules *rules,
                                   struct signed_list *list, struct sticps_error *err)
{
    const struct json_node *mapping = json_node_get(doc, doc->nodes, "cpsMapping");
    const struct json_node *trusted = json_node_get(doc, doc->nodes, "trustList");
    const struct json_node *sequence = json_node_get(doc, doc->nodes, "sequence");
    bool is_mapping = list->kind == SIGNED_LIST_CPS_MAPPING;
    /* The STI-PA signs both kinds, and tokens, with the same header: only this tells them apart. */
    if ((is_mapping ? trusted : mapping) != NULL)
        return fail(err, STICPS_ERR_PAYLOAD, is_mapping ? "trustList" : "cpsMapping",
                    "this is the other kind of list");
    if ((is_mapping ? mapping : trusted) == NULL)
        return fail(err, STICPS_ERR_PAYLOAD, is_mapping ? "cpsMapping" : "trustList",
                    "the payload has no %s", is_mapping ? "cpsMapping" : "trustList");
    if (sequence == NULL || sequence->kind != JSON_NODE_INTEGER || sequence->value.integer < 1 ||
        sequence->value.integer > SIGNED_LIST_MAX_SEQUENCE)
        return fail(err, STICPS_ERR_PAYLOAD, "sequence",
                    "sequence is not an integer of 1 to 2^53-1");
    list->sequence = sequence->value.integer;
    return is_mapping ? read_mapping(doc, mapping, rules, list, err)
                      : read_trusted(doc, trusted, list, err);
}

/* ---- rule 7: VERSION and EXP ---- */

static enum sticps_err check_version_and_exp(const struct json_doc *doc, int64_t now,
                                             int64_t max_lifetime, struct signed_list *list,
                                             struct sticps_error *err)
{
    const struct json_node *exp = json_node_get(doc, doc->nodes, "exp");
    if (!json_node_is(json_node_get(doc, doc->nodes, "version"), "1.0"))
        return fail(err, STICPS_ERR_VERSION, "version", "the version is not \"1.0\"");
    if (exp == NULL || exp->kind != JSON_NODE_INTEGER)
        return fail(err, STICPS_ERR_EXP, "exp", "exp is not an integer");
    list->exp = exp->value.integer;
    if (now < 0)
        return STICPS_OK;
    if (list->exp <= now)
        return fail(err, STICPS_ERR_EXP, "exp", "the list expired %lld s ago",
                    (long long)(list->exp < 0 ? now : now - list->exp));
    if (list->exp - now > max_lifetime)
        return fail(err, STICPS_ERR_EXP, "exp", "the list expires more than %lld s ahead",
                    (long long)max_lifetime);
    return STICPS_OK;
}

enum sticps_err signed_list_parse(const struct jws *jws, enum signed_list_kind kind, int64_t now,
                                  int64_t max_lifetime, const struct url_rules *rules,
                                  struct signed_list **out, struct sticps_error *err)
{
    struct json_doc doc = {0};
    struct signed_list *list = calloc(1, sizeof(*list));
    if (list == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    list->kind = kind;
    enum sticps_err rc =
        json_doc_parse_object(jws->payload, jws->payload_len, STICPS_ERR_PAYLOAD, &doc, err);
    if (rc != STICPS_OK)
        goto cleanup;
    list->memory = doc.text; /* URLs and PEMs stay where they were read */
    doc.text = NULL;
    rc = read_claims(&doc, rules, list, err);
    if (rc == STICPS_OK)
        rc = check_version_and_exp(&doc, now, max_lifetime, list, err);
    if (rc != STICPS_OK)
        goto cleanup;
    *out = list;
    list = NULL;
cleanup:
    json_doc_clear(&doc);
    signed_list_free(list);
    return rc;
}

void signed_list_free(struct signed_list *list)
{
    if (list == NULL)
        return;
    free(list->index);
    free(list->entries);
    free(list->trusted);
    free(list->memory);
    free(list);
}

const char *signed_list_find(const struct signed_list *list, const struct spc *spc)
{
    uint32_t at;
    if (list->index == NULL || !spc_index_find(list->index, spc, &at))
        return NULL;
    return (const char *)list->memory + at;
}

#include "client/list_json.h"

#include "client/sha256.h"
#include "common/json_doc.h"
#include "common/signed_list.h"
#include "common/text_copy.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT 1

/* ---- writing ---- */

static json_t *seen_to_json(const struct list_state *state)
{
    json_t *array = json_array();
    for (size_t i = 0; array != NULL && i < state->seen_len; i++) {
        json_t *row = json_pack("{s:I, s:s}", "sequence", (json_int_t)state->seen[i].sequence,
                                "sha256", state->seen[i].sha256);
        if (row == NULL || json_array_append_new(array, row) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

/* null when there is no list. Its text is put in by splice_jws. */
static json_t *held_to_json(const struct list_state *state)
{
    if (state->jws == NULL)
        return json_null();
    return json_pack("{s:I, s:I, s:I, s:s, s:s, s:s, s:{s:s, s:I, s:s}, s:s}", "sequence",
                     (json_int_t)state->sequence, "exp", (json_int_t)state->exp, "fetchedAt",
                     (json_int_t)state->fetched_at, "source", state->source, "etag", state->etag,
                     "sha256", state->sha256, "signer", "x5u", state->x5u, "expires",
                     (json_int_t)state->chain_expires, "pem", state->chain, "jws", "");
}

/* With room for `more` bytes. jansson 2.14's json_dumps leaves a key out, and says nothing, when
 * memory ends amid an object; into memory that is there already it writes everything or fails. NULL
 * when out of memory. */
static char *dump(const json_t *root, size_t more)
{
    size_t size = json_dumpb(root, NULL, 0, JSON_INDENT(1));
    char *text = size > 0 ? malloc(size + more + 1) : NULL;
    if (text == NULL)
        return NULL;
    if (json_dumpb(root, text, size, JSON_INDENT(1)) != size) {
        free(text);
        return NULL;
    }
    text[size] = '\0';
    return text;
}

/* The list's text, some megabytes, goes straight to where jansson would copy it from a copy. It is
 * base64url and dots, so nothing in it is escaped; and no other text can look like an empty "jws",
 * for its quotes would be. */
static void splice_jws(char *text, const struct list_state *state)
{
    static const char key[] = "\"jws\": \"";
    char *at = strstr(text, "\"jws\": \"\"") + sizeof(key) - 1;
    memmove(at + state->jws_len, at, strlen(at) + 1);
    memcpy(at, state->jws, state->jws_len);
}

enum sticps_err list_json_write(const struct list_state *state, char **out, size_t *len,
                                struct sticps_error *err)
{
    json_t *seen = seen_to_json(state);
    json_t *held = seen != NULL ? held_to_json(state) : NULL;
    json_t *root = NULL;
    if (held != NULL) /* takes over both, also when it fails */
        root = json_pack("{s:i, s:I, s:o, s:o}", "format", FORMAT, "floor",
                         (json_int_t)state->floor, "held", held, "accepted", seen);
    else
        json_decref(seen);
    char *text = root != NULL ? dump(root, state->jws != NULL ? state->jws_len : 0) : NULL;
    json_decref(root);
    if (text == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (state->jws != NULL)
        splice_jws(text, state);
    *out = text;
    *len = strlen(text);
    return STICPS_OK;
}

/* ---- reading ---- */

static enum sticps_err bad(struct sticps_error *err, const char *member, const char *what)
{
    return fail(err, STICPS_ERR_STATE, member, "%s %s", member, what);
}

/* A member of what is perhaps no object, or missing; NULL when it is not there. */
static const struct json_node *member(const struct json_doc *doc, const struct json_node *object,
                                      const char *name)
{
    return object != NULL && object->kind == JSON_NODE_OBJECT ? json_node_get(doc, object, name)
                                                              : NULL;
}

static enum sticps_err get_integer(const struct json_doc *doc, const struct json_node *object,
                                   const char *name, int64_t min, int64_t *out,
                                   struct sticps_error *err)
{
    const struct json_node *node = member(doc, object, name);
    if (node == NULL || node->kind != JSON_NODE_INTEGER || node->value.integer < min)
        return bad(err, name, "is missing or no number that can be right");
    *out = node->value.integer;
    return STICPS_OK;
}

static enum sticps_err get_text(const struct json_doc *doc, const struct json_node *object,
                                const char *name, char **out, struct sticps_error *err)
{
    const struct json_node *node = member(doc, object, name);
    if (node == NULL || node->kind != JSON_NODE_STRING)
        return bad(err, name, "is missing or no text");
    *out = strdup(node->value.text);
    return *out != NULL ? STICPS_OK : fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
}

static enum sticps_err get_sha256(const struct json_doc *doc, const struct json_node *object,
                                  char out[65], struct sticps_error *err)
{
    const struct json_node *node = member(doc, object, "sha256");
    if (node == NULL || node->kind != JSON_NODE_STRING || node->len != 64 ||
        strspn(node->value.text, "0123456789abcdef") != 64)
        return bad(err, "sha256", "is missing or no SHA-256 in hex");
    memcpy(out, node->value.text, 65);
    return STICPS_OK;
}

static bool is_compact(const char *text, size_t len)
{
    bool plain = len > 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i], folded = c | 0x20;
        plain = plain & ((c >= '0' && c <= '9') | (folded >= 'a' && folded <= 'z') | (c == '-') |
                         (c == '_') | (c == '.'));
    }
    return plain;
}

/* The list's text: the memory that the document stands in becomes it, so that there are not two of
 * some megabytes. Nothing of the document is left. */
static enum sticps_err take_jws(struct json_doc *doc, const struct json_node *held,
                                struct list_state *state, struct sticps_error *err)
{
    const struct json_node *node = member(doc, held, "jws");
    if (node == NULL || node->kind != JSON_NODE_STRING || !is_compact(node->value.text, node->len))
        return bad(err, "jws", "is missing or no signed list");
    state->jws_len = node->len;
    state->jws = memmove(doc->text, node->value.text, node->len + 1);
    doc->text = NULL;
    char *fitting = realloc(state->jws, state->jws_len + 1);
    if (fitting != NULL)
        state->jws = fitting;
    return STICPS_OK;
}

static enum sticps_err read_seen(const struct json_doc *doc, const struct json_node *array,
                                 struct list_state *state, struct sticps_error *err)
{
    if (array == NULL || array->kind != JSON_NODE_ARRAY || array->len > LIST_STATE_MAX_SEEN)
        return bad(err, "accepted", "is missing, no array or too long");
    size_t len = array->len;
    state->seen = calloc(len + 1, sizeof(*state->seen));
    if (state->seen == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    int64_t above = 0;
    const struct json_node *row = json_node_first(array);
    for (size_t i = 0; i < len; i++, row = json_node_next(doc, row)) {
        enum sticps_err code =
            get_integer(doc, row, "sequence", above + 1, &state->seen[i].sequence, err);
        if (code == STICPS_OK)
            code = get_sha256(doc, row, state->seen[i].sha256, err);
        if (code != STICPS_OK)
            return code;
        above = state->seen[i].sequence;
    }
    if (above > state->floor)
        return bad(err, "accepted", "goes beyond the floor");
    state->seen_len = len;
    return STICPS_OK;
}

static enum sticps_err read_signer(const struct json_doc *doc, const struct json_node *signer,
                                   struct list_state *state, struct sticps_error *err)
{
    enum sticps_err code = get_text(doc, signer, "x5u", &state->x5u, err);
    if (code == STICPS_OK)
        code = get_integer(doc, signer, "expires", 0, &state->chain_expires, err);
    if (code == STICPS_OK)
        code = get_text(doc, signer, "pem", &state->chain, err);
    return code;
}

/* The held list is what its hash says, and what was accepted under its sequence. */
static enum sticps_err check_held(const struct list_state *state, struct sticps_error *err)
{
    char sha256[65];
    enum sticps_err code = sha256_hex(state->jws, state->jws_len, sha256, err);
    if (code != STICPS_OK)
        return code;
    const char *seen = list_state_seen(state, state->sequence);
    if (strcmp(sha256, state->sha256) != 0 || seen == NULL || strcmp(seen, sha256) != 0)
        return bad(err, "jws", "does not match its SHA-256");
    return STICPS_OK;
}

/* The last to be read: it takes the document's text. */
static enum sticps_err read_held(struct json_doc *doc, struct list_state *state,
                                 struct sticps_error *err)
{
    const struct json_node *held = member(doc, doc->nodes, "held");
    if (held != NULL && held->kind == JSON_NODE_NULL)
        return STICPS_OK;
    if (held == NULL || held->kind != JSON_NODE_OBJECT)
        return bad(err, "held", "is missing or no object");
    enum sticps_err code = get_integer(doc, held, "sequence", 1, &state->sequence, err);
    if (code == STICPS_OK)
        code = get_integer(doc, held, "exp", 0, &state->exp, err);
    if (code == STICPS_OK)
        code = get_integer(doc, held, "fetchedAt", 0, &state->fetched_at, err);
    if (code == STICPS_OK)
        code = get_text(doc, held, "source", &state->source, err);
    if (code == STICPS_OK)
        code = get_text(doc, held, "etag", &state->etag, err);
    if (code == STICPS_OK)
        code = get_sha256(doc, held, state->sha256, err);
    if (code == STICPS_OK)
        code = read_signer(doc, member(doc, held, "signer"), state, err);
    if (code == STICPS_OK)
        code = take_jws(doc, held, state, err);
    return code != STICPS_OK ? code : check_held(state, err);
}

enum sticps_err list_json_take(char *text, size_t len, struct list_state *out,
                               struct sticps_error *err)
{
    struct json_doc doc = {0};
    struct list_state state = {0};
    int64_t format = 0;
    enum sticps_err code = json_doc_take(text, len, STICPS_ERR_STATE, &doc, err);
    if (code != STICPS_OK)
        return code;
    code = get_integer(&doc, doc.nodes, "format", 1, &format, err);
    if (code == STICPS_OK && format != FORMAT)
        code = bad(err, "format", "is not one that this version knows");
    if (code == STICPS_OK)
        code = get_integer(&doc, doc.nodes, "floor", 0, &state.floor, err);
    if (code == STICPS_OK && state.floor > SIGNED_LIST_MAX_SEQUENCE)
        code = bad(err, "floor", "is above any sequence");
    if (code == STICPS_OK)
        code = read_seen(&doc, member(&doc, doc.nodes, "accepted"), &state, err);
    if (code == STICPS_OK)
        code = read_held(&doc, &state, err);
    json_doc_clear(&doc);
    if (code == STICPS_OK)
        *out = state;
    else
        list_state_clear(&state);
    return code;
}

enum sticps_err list_json_read(const char *text, size_t len, struct list_state *out,
                               struct sticps_error *err)
{
    char *copy = text_copy(text, len);
    if (copy == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    return list_json_take(copy, len, out, err);
}

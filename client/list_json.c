#include "client/list_json.h"

#include "client/sha256.h"
#include "common/signed_list.h"
#include "common/strict_json.h"

#include <jansson.h>
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

/* null when there is no list. */
static json_t *held_to_json(const struct list_state *state)
{
    if (state->jws == NULL)
        return json_null();
    return json_pack("{s:I, s:I, s:I, s:s, s:s, s:s, s:{s:s, s:I, s:s}, s:s%}", "sequence",
                     (json_int_t)state->sequence, "exp", (json_int_t)state->exp, "fetchedAt",
                     (json_int_t)state->fetched_at, "source", state->source, "etag", state->etag,
                     "sha256", state->sha256, "signer", "x5u", state->x5u, "expires",
                     (json_int_t)state->chain_expires, "pem", state->chain, "jws", state->jws,
                     state->jws_len);
}

/* jansson 2.14's json_dumps leaves a key out, and says nothing, when memory ends amid an object;
 * into memory that is there already it writes everything or fails. NULL when out of memory. */
static char *dump(const json_t *root)
{
    size_t size = json_dumpb(root, NULL, 0, JSON_INDENT(1));
    char *text = size > 0 ? malloc(size + 1) : NULL;
    if (text == NULL)
        return NULL;
    if (json_dumpb(root, text, size, JSON_INDENT(1)) != size) {
        free(text);
        return NULL;
    }
    text[size] = '\0';
    return text;
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
    char *text = root != NULL ? dump(root) : NULL;
    json_decref(root);
    if (text == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    *out = text;
    *len = strlen(text);
    return STICPS_OK;
}

/* ---- reading ---- */

static enum sticps_err bad(struct sticps_error *err, const char *member, const char *what)
{
    return fail(err, STICPS_ERR_STATE, member, "%s %s", member, what);
}

static enum sticps_err get_integer(const json_t *object, const char *name, int64_t min,
                                   int64_t *out, struct sticps_error *err)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_integer(value) || json_integer_value(value) < min)
        return bad(err, name, "is missing or no number that can be right");
    *out = json_integer_value(value);
    return STICPS_OK;
}

static enum sticps_err get_text(const json_t *object, const char *name, char **out, size_t *len,
                                struct sticps_error *err)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_string(value))
        return bad(err, name, "is missing or no text");
    *out = strdup(json_string_value(value));
    if (*out == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (len != NULL)
        *len = json_string_length(value);
    return STICPS_OK;
}

static enum sticps_err get_sha256(const json_t *object, char out[65], struct sticps_error *err)
{
    const char *text = json_string_value(json_object_get(object, "sha256"));
    if (text == NULL || strlen(text) != 64 || strspn(text, "0123456789abcdef") != 64)
        return bad(err, "sha256", "is missing or no SHA-256 in hex");
    memcpy(out, text, 65);
    return STICPS_OK;
}

static enum sticps_err read_seen(const json_t *array, struct list_state *state,
                                 struct sticps_error *err)
{
    size_t len = json_array_size(array);
    if (!json_is_array(array) || len > LIST_STATE_MAX_SEEN)
        return bad(err, "accepted", "is missing, no array or too long");
    state->seen = calloc(len + 1, sizeof(*state->seen));
    if (state->seen == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    int64_t above = 0;
    for (size_t i = 0; i < len; i++) {
        const json_t *row = json_array_get(array, i);
        enum sticps_err code =
            get_integer(row, "sequence", above + 1, &state->seen[i].sequence, err);
        if (code == STICPS_OK)
            code = get_sha256(row, state->seen[i].sha256, err);
        if (code != STICPS_OK)
            return code;
        above = state->seen[i].sequence;
    }
    if (above > state->floor)
        return bad(err, "accepted", "goes beyond the floor");
    state->seen_len = len;
    return STICPS_OK;
}

static enum sticps_err read_signer(const json_t *signer, struct list_state *state,
                                   struct sticps_error *err)
{
    enum sticps_err code = get_text(signer, "x5u", &state->x5u, NULL, err);
    if (code == STICPS_OK)
        code = get_integer(signer, "expires", 0, &state->chain_expires, err);
    if (code == STICPS_OK)
        code = get_text(signer, "pem", &state->chain, NULL, err);
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

static enum sticps_err read_held(const json_t *held, struct list_state *state,
                                 struct sticps_error *err)
{
    if (json_is_null(held))
        return STICPS_OK;
    if (!json_is_object(held))
        return bad(err, "held", "is missing or no object");
    enum sticps_err code = get_integer(held, "sequence", 1, &state->sequence, err);
    if (code == STICPS_OK)
        code = get_integer(held, "exp", 0, &state->exp, err);
    if (code == STICPS_OK)
        code = get_integer(held, "fetchedAt", 0, &state->fetched_at, err);
    if (code == STICPS_OK)
        code = get_text(held, "source", &state->source, NULL, err);
    if (code == STICPS_OK)
        code = get_text(held, "etag", &state->etag, NULL, err);
    if (code == STICPS_OK)
        code = get_sha256(held, state->sha256, err);
    if (code == STICPS_OK)
        code = read_signer(json_object_get(held, "signer"), state, err);
    if (code == STICPS_OK)
        code = get_text(held, "jws", &state->jws, &state->jws_len, err);
    return code != STICPS_OK ? code : check_held(state, err);
}

enum sticps_err list_json_read(const char *text, size_t len, struct list_state *out,
                               struct sticps_error *err)
{
    struct sticps_error why = {0};
    json_t *root = strict_json_parse(text, len, STICPS_ERR_STATE, &why);
    if (root == NULL) { /* damaged, or out of memory */
        if (err != NULL)
            *err = why;
        return why.code;
    }
    struct list_state state = {0};
    int64_t format = 0;
    enum sticps_err code = get_integer(root, "format", 1, &format, err);
    if (code == STICPS_OK && format != FORMAT)
        code = bad(err, "format", "is not one that this version knows");
    if (code == STICPS_OK)
        code = get_integer(root, "floor", 0, &state.floor, err);
    if (code == STICPS_OK && state.floor > SIGNED_LIST_MAX_SEQUENCE)
        code = bad(err, "floor", "is above any sequence");
    if (code == STICPS_OK)
        code = read_seen(json_object_get(root, "accepted"), &state, err);
    if (code == STICPS_OK)
        code = read_held(json_object_get(root, "held"), &state, err);
    json_decref(root);
    if (code == STICPS_OK)
        *out = state;
    else
        list_state_clear(&state);
    return code;
}

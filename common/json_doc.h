/* JSON from outside, with nothing left to interpretation: UTF-8, no duplicate keys at any level, no
 * trailing bytes, no NUL, bounded depth. The text is copied once and read in place; values are a
 * flat array in document order.
 *
 * Not jansson's parser: that one takes 28 ms and 5 MB for a list of 25,000 entries (this one takes
 * 4 ms and half the memory), drops a character of a string when its buffer cannot grow, and cannot
 * tell an integer that is too large from text that is not JSON.
 *
 * Callers: signed_list, passport; strict_json for everybody who wants a jansson value. Never writes
 * JSON, never recurses. */
#ifndef COMMON_JSON_DOC_H
#define COMMON_JSON_DOC_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DOC_MAX_DEPTH 16

enum json_node_kind {
    JSON_NODE_OBJECT,
    JSON_NODE_ARRAY,
    JSON_NODE_STRING,
    JSON_NODE_INTEGER, /* written without fraction and exponent, and fits int64_t */
    JSON_NODE_NUMBER,  /* any other number */
    JSON_NODE_TRUE,
    JSON_NODE_FALSE,
    JSON_NODE_NULL
};

struct json_node {
    const char *key; /* NUL-terminated; NULL for an element of an array */
    union {
        const char *text; /* of a string: unescaped, NUL-terminated, without NUL inside;
                           * of JSON_NODE_NUMBER: as written, not terminated */
        int64_t integer;
    } value;
    uint32_t key_len;
    uint32_t len; /* bytes of `text`; members of an object or array */
    uint32_t end; /* index of the first node that is not inside this one */
    enum json_node_kind kind;
};

struct json_doc {
    struct json_node *nodes; /* nodes[0] is the outermost value */
    char *text;              /* what keys and strings point into */
};

/* Parses an object or array. `code` is the error to report (or NO_MEMORY), the text says what is
 * wrong and at which byte. On success the caller owns the memory of *out (json_doc_clear). */
enum sticps_err json_doc_parse(const void *text, size_t len, enum sticps_err code,
                               struct json_doc *out, struct sticps_error *err) STICPS_MUST_CHECK;

/* The same, in place: `text`, from malloc and with a NUL at its end, is the document's or, when
 * this fails, freed. */
enum sticps_err json_doc_take(char *text, size_t len, enum sticps_err code, struct json_doc *out,
                              struct sticps_error *err) STICPS_MUST_CHECK;

/* As json_doc_parse, and the outermost value must be an object. */
enum sticps_err json_doc_parse_object(const void *text, size_t len, enum sticps_err code,
                                      struct json_doc *out,
                                      struct sticps_error *err) STICPS_MUST_CHECK;

void json_doc_clear(struct json_doc *doc);

/* Walking the `len` members of an object or array: the first, then the one after. Without a member
 * left, the node returned is not theirs. */
const struct json_node *json_node_first(const struct json_node *container);
const struct json_node *json_node_next(const struct json_doc *doc, const struct json_node *node);

/* A member by its key, or NULL. Linear: for objects of a few members. */
const struct json_node *json_node_get(const struct json_doc *doc, const struct json_node *object,
                                      const char *key);

/* Is this (possibly NULL) node that string? */
bool json_node_is(const struct json_node *node, const char *text);

#endif

/* JSON from outside, with nothing left to interpretation: UTF-8, no duplicate keys, no trailing bytes,
 * no NUL, bounded depth; strict types when read. Wraps jansson. */
#ifndef COMMON_STRICT_JSON_H
#define COMMON_STRICT_JSON_H

#include "common/error.h"

#include <jansson.h>
#include <stddef.h>

#define STRICT_JSON_MAX_DEPTH 16

/* Parses an object or array. On failure returns NULL with err->code = `code` and a text that says what
 * is wrong and at which byte. The caller owns the value (json_decref). */
json_t *strict_json_parse(const void *text, size_t len, enum sticps_err code,
                          struct sticps_error *err) STICPS_MUST_CHECK;

#endif

/* JSON from outside as a jansson value: read by json_doc, with its strictness, so that there is one
 * reader for all JSON of the project. */
#ifndef COMMON_STRICT_JSON_H
#define COMMON_STRICT_JSON_H

#include "common/error.h"
#include "common/json_doc.h"

#include <jansson.h>
#include <stddef.h>

#define STRICT_JSON_MAX_DEPTH JSON_DOC_MAX_DEPTH

/* Parses an object or array. On failure returns NULL with err->code = `code` (or NO_MEMORY) and a
 * text that says what is wrong and at which byte. Integers beyond int64_t are reals, reals beyond
 * double the largest ones. The caller owns the value (json_decref). */
json_t *strict_json_parse(const void *text, size_t len, enum sticps_err code,
                          struct sticps_error *err) STICPS_MUST_CHECK;

#endif

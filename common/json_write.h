/* Writing JSON that will be signed: exact bytes, in the order in which the caller gives them, no
 * white space. Callers: signed_list, passport. */
#ifndef COMMON_JSON_WRITE_H
#define COMMON_JSON_WRITE_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Text that grows. When an allocation fails, what is written after it is dropped and
 * json_write_check reports it, so that callers check once. */
struct json_write {
    char *data;
    size_t len, cap;
    bool failed;
};

/* Starts with room for `expected` bytes. */
void json_write_init(struct json_write *w, size_t expected);
void json_write_clear(struct json_write *w);

void json_write_raw(struct json_write *w, const char *text, size_t len);
/* Punctuation and fixed keys: a string literal, as it stands. */
#define json_write_literal(w, literal) json_write_raw(w, literal, sizeof("" literal) - 1)
/* A string in quotes; '"', '\' and control characters escaped. `text` is UTF-8. */
void json_write_string(struct json_write *w, const char *text);
void json_write_integer(struct json_write *w, int64_t value);

/* STICPS_OK, or NO_MEMORY when anything was dropped. */
enum sticps_err json_write_check(const struct json_write *w,
                                 struct sticps_error *err) STICPS_MUST_CHECK;

#endif

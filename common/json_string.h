/* A JSON string, read in place: UTF-8 checked, escapes undone. Part of json_doc; of others, options
 * asks whether a text can be written as one. */
#ifndef COMMON_JSON_STRING_H
#define COMMON_JSON_STRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *at is at the opening quote, in text that a NUL ends; afterwards it is behind the closing quote.
 * *text is the string, NUL-terminated, in the same memory. Returns NULL, or what is wrong at *at (a
 * literal). */
const char *json_string_read(char **at, const char **text, uint32_t *len);

/* Is it UTF-8 from beginning to end? */
bool json_string_is_utf8(const char *text);

#endif

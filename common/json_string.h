/* A JSON string, read in place: UTF-8 checked, escapes undone. Part of json_doc; nobody else calls
 * it. */
#ifndef COMMON_JSON_STRING_H
#define COMMON_JSON_STRING_H

#include <stddef.h>
#include <stdint.h>

/* *at is at the opening quote, in text that a NUL ends; afterwards it is behind the closing quote.
 * *text is the string, NUL-terminated, in the same memory. Returns NULL, or what is wrong at *at (a
 * literal). */
const char *json_string_read(char **at, const char **text, uint32_t *len);

#endif

#include "common/strict_json.h"

#include <stdbool.h>
#include <string.h>

/* The byte at which nesting exceeds the limit, or `len`. jansson's own limit is 2,048, fixed when
 * it was built. Brackets inside strings do not count; whether they balance is left to the parser.
 */
static size_t too_deep_at(const char *text, size_t len)
{
    unsigned depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > STRICT_JSON_MAX_DEPTH)
                return i;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return len;
}

json_t *strict_json_parse(const void *text, size_t len, enum sticps_err code,
                          struct sticps_error *err)
{
    const char *nul = len == 0 ? NULL : memchr(text, '\0', len);
    if (nul != NULL) {
        fail(err, code, NULL, "not JSON: NUL at byte %zu", (size_t)(nul - (const char *)text));
        return NULL;
    }
    size_t deep = too_deep_at(text, len);
    if (deep != len) {
        fail(err, code, NULL, "JSON nested deeper than %d at byte %zu", STRICT_JSON_MAX_DEPTH,
             deep);
        return NULL;
    }
    json_error_t fault;
    json_t *value = json_loadb(len == 0 ? "" : text, len, JSON_REJECT_DUPLICATES, &fault);
    if (value != NULL)
        return value;
    /* jansson 2.14 leaves the code at "unknown" when an allocation fails on most of its paths. */
    if (json_error_code(&fault) == json_error_unknown ||
        json_error_code(&fault) == json_error_out_of_memory)
        fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    else
        fail(err, code, NULL, "not JSON: %s at byte %d", fault.text, fault.position);
    return NULL;
}

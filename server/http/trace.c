#include "server/http/trace.h"

#include <string.h>

#define ID_AT 3
#define ID_LEN 32
#define SPAN_AT 36
#define SPAN_LEN 16
#define FLAGS_AT 53

/* Lower case only: "-" and capitals are no digits of this header. */
static bool is_hex(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (memchr("0123456789abcdef", text[i], 16) == NULL)
            return false;
    return true;
}

static bool is_zero(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] != '0')
            return false;
    return true;
}

static bool has_form(const char *value)
{
    return is_hex(value, 2) && value[2] == '-' && is_hex(value + ID_AT, ID_LEN) &&
           value[SPAN_AT - 1] == '-' && is_hex(value + SPAN_AT, SPAN_LEN) &&
           value[FLAGS_AT - 1] == '-' && is_hex(value + FLAGS_AT, 2);
}

bool trace_parse(const char *value, size_t len, struct trace *out)
{
    if (len < TRACE_PARENT_LEN || !has_form(value))
        return false;
    bool known = memcmp(value, "00", 2) == 0;
    if (memcmp(value, "ff", 2) == 0 || (known && len != TRACE_PARENT_LEN) ||
        (len > TRACE_PARENT_LEN && value[TRACE_PARENT_LEN] != '-'))
        return false;
    if (is_zero(value + ID_AT, ID_LEN) || is_zero(value + SPAN_AT, SPAN_LEN))
        return false;
    bool sampled = strchr("13579bdf", value[FLAGS_AT + 1]) != NULL;
    memcpy(out->id, value + ID_AT, ID_LEN);
    out->id[ID_LEN] = '\0';
    memcpy(out->parent, value, TRACE_PARENT_LEN);
    memcpy(out->parent, "00", 2);
    memcpy(out->parent + FLAGS_AT, sampled ? "01" : "00", 2);
    out->parent[TRACE_PARENT_LEN] = '\0';
    return true;
}

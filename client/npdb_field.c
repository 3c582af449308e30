#include "client/npdb_field.h"

#include <string.h>

static void trim(struct npdb_field *field, char separator)
{
    while (field->len > 0 && npdb_is_blank(field->text[0], separator)) {
        field->text++;
        field->len--;
    }
    while (field->len > 0 && npdb_is_blank(field->text[field->len - 1], separator))
        field->len--;
}

/* The closing quotation mark of a field that starts at p; a doubled one is part of the field. */
static const char *closing_mark(const char *p, const char *end)
{
    while (p < end && (p = memchr(p, '"', (size_t)(end - p))) != NULL) {
        if (p + 1 == end || p[1] != '"')
            return p;
        p += 2;
    }
    return NULL;
}

const char *npdb_field_cut(const char *p, const char *end, char separator, struct npdb_field *field,
                           const char **fault)
{
    while (p < end && npdb_is_blank(*p, separator))
        p++;
    if (p < end && *p == '"') {
        const char *mark = closing_mark(p + 1, end);
        if (mark == NULL) {
            *fault = "a quotation mark is not closed";
            return NULL;
        }
        *field = (struct npdb_field){p + 1, (size_t)(mark - p) - 1};
        for (p = mark + 1; p < end && npdb_is_blank(*p, separator);)
            p++;
        if (p < end && *p != separator) {
            *fault = "something follows a closing quotation mark";
            return NULL;
        }
    } else {
        const char *stop = memchr(p, separator, (size_t)(end - p));
        stop = stop != NULL ? stop : end;
        *field = (struct npdb_field){p, (size_t)(stop - p)};
        p = stop;
    }
    trim(field, separator);
    return p;
}

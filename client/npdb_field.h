/* One field of a line of CSV. Called by npdb_csv for rows and by npdb_dialect for headings. */
#ifndef CLIENT_NPDB_FIELD_H
#define CLIENT_NPDB_FIELD_H

#include <stdbool.h>
#include <stddef.h>

/* Without the blanks and the quotation marks around it, borrowed, not NUL-terminated. A doubled
 * quotation mark in it stays doubled: nothing that is looked at has one. */
struct npdb_field {
    const char *text; /* never NULL */
    size_t len;
};

/* Cuts the field off the front of p..end, which is one line. Returns what follows it: the
 * separator, the end, or NULL with *fault set to what is wrong. */
const char *npdb_field_cut(const char *p, const char *end, char separator, struct npdb_field *field,
                           const char **fault);

/* A blank is a space or a TAB, unless it separates. */
static inline bool npdb_is_blank(char c, char separator)
{
    return (c == ' ' || c == '\t') && c != separator;
}

#endif

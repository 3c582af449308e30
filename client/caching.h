/* How long an HTTP answer may be kept (RFC 9111, for a private cache), and when its server wants to
 * be asked again, read from its header lines. Pure. Called by fetch.c. */
#ifndef CLIENT_CACHING_H
#define CLIENT_CACHING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct caching {
    bool forbidden; /* no-store or no-cache */
    bool has_max_age, has_expires;
    int64_t max_age, expires, age; /* seconds */
    char date[40];                 /* as received, or "": read only when somebody asks */
    bool has_retry_after, retry_is_date;
    int64_t retry_after; /* seconds from the answer, or a moment */
};

/* Takes one header line ("Name: value", with or without its line break); others are ignored. */
void caching_header(struct caching *caching, const char *line, size_t len);

/* When the server says that it is, Unix seconds; 0 when it does not, or not in words that can be
 * read. */
int64_t caching_date(const struct caching *caching);

/* Seconds from `now` (Unix) that the answer may be kept: 0 for not at all, -1 when it does not say.
 */
int64_t caching_lifetime(const struct caching *caching, int64_t now);

/* Seconds from `now` that the server asks to be left in peace (Retry-After, RFC 9110 s10.2.3), not
 * below 0; -1 when it does not ask. */
int64_t caching_retry_after(const struct caching *caching, int64_t now);

/* The value of a header line when it is the header `name` (case folded), without white space around
 * it; else NULL. Inline, so that a literal's length is known: an answer has some ten lines, and
 * each is compared to some ten names. */
const char *header_value_at(const char *line, size_t len, const char *name, size_t name_len,
                            size_t *value_len);
static inline const char *header_value(const char *line, size_t len, const char *name,
                                       size_t *value_len)
{
    size_t name_len = strlen(name);
    if (len <= name_len || line[name_len] != ':')
        return NULL;
    return header_value_at(line, len, name, name_len, value_len);
}

#endif

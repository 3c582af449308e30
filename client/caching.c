#include "client/caching.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#define MAX_SECONDS 2147483648 /* RFC 9111 s1.2.2: larger values mean this one */

const char *header_value_at(const char *line, size_t len, const char *name, size_t name_len,
                            size_t *value_len)
{
    if (strncasecmp(line, name, name_len) != 0)
        return NULL;
    const char *value = line + name_len + 1;
    const char *end = line + len;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && strchr(" \t\r\n", end[-1]) != NULL)
        end--;
    *value_len = (size_t)(end - value);
    return value;
}

/* Digits only; false otherwise. Capped at MAX_SECONDS. */
static bool parse_seconds(const char *text, size_t len, int64_t *out)
{
    int64_t value = 0;
    if (len == 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (text[i] - '0');
        if (value > MAX_SECONDS)
            value = MAX_SECONDS;
    }
    *out = value;
    return true;
}

static void directive(struct caching *caching, const char *text, size_t len)
{
    while (len > 0 && (*text == ' ' || *text == '\t')) {
        text++;
        len--;
    }
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        len--;
    if ((len >= 8 && strncasecmp(text, "no-store", 8) == 0) ||
        (len >= 8 && strncasecmp(text, "no-cache", 8) == 0)) {
        caching->forbidden = true;
        return;
    }
    if (len < 8 || strncasecmp(text, "max-age=", 8) != 0)
        return;
    text += 8;
    len -= 8;
    if (len >= 2 && text[0] == '"' && text[len - 1] == '"') {
        text++;
        len -= 2;
    }
    int64_t seconds = 0; /* what cannot be read is stale (RFC 9111 s4.2.1) */
    if (!parse_seconds(text, len, &seconds))
        seconds = 0;
    if (!caching->has_max_age || seconds < caching->max_age)
        caching->max_age = seconds;
    caching->has_max_age = true;
}

static void cache_control(struct caching *caching, const char *value, size_t len)
{
    const char *end = value + len;
    while (value < end) {
        const char *comma = memchr(value, ',', (size_t)(end - value));
        const char *stop = comma != NULL ? comma : end;
        directive(caching, value, (size_t)(stop - value));
        value = stop < end ? stop + 1 : end;
    }
}

/* An HTTP date; one that cannot be read is in the past (RFC 9111 s5.3). */
static int64_t http_date(const char *value, size_t len)
{
    char text[64];
    if (len >= sizeof(text))
        return 0;
    memcpy(text, value, len);
    text[len] = '\0';
    int64_t when = (int64_t)curl_getdate(text, NULL);
    return when < 0 ? 0 : when;
}

void caching_header(struct caching *caching, const char *line, size_t len)
{
    size_t value_len;
    const char *value;
    if ((value = header_value(line, len, "Cache-Control", &value_len)) != NULL) {
        cache_control(caching, value, value_len);
    } else if ((value = header_value(line, len, "Expires", &value_len)) != NULL) {
        caching->has_expires = true;
        caching->expires = http_date(value, value_len);
    } else if ((value = header_value(line, len, "Date", &value_len)) != NULL) {
        bool fits = value_len < sizeof(caching->date); /* a date has 29 bytes */
        memcpy(caching->date, value, fits ? value_len : 0);
        caching->date[fits ? value_len : 0] = '\0';
    } else if ((value = header_value(line, len, "Age", &value_len)) != NULL) {
        if (!parse_seconds(value, value_len, &caching->age))
            caching->age = 0;
    } else if ((value = header_value(line, len, "Retry-After", &value_len)) != NULL) {
        caching->retry_is_date = !parse_seconds(value, value_len, &caching->retry_after);
        if (caching->retry_is_date)
            caching->retry_after = http_date(value, value_len);
        caching->has_retry_after = true;
    }
}

int64_t caching_date(const struct caching *caching)
{
    return caching->date[0] != '\0' ? http_date(caching->date, strlen(caching->date)) : 0;
}

/* The server's word for now, if it gives one. */
static int64_t now_of(const struct caching *caching, int64_t now)
{
    int64_t date = caching_date(caching);
    return date > 0 ? date : now;
}

int64_t caching_retry_after(const struct caching *caching, int64_t now)
{
    if (!caching->has_retry_after)
        return -1;
    int64_t seconds = caching->retry_after;
    if (caching->retry_is_date)
        seconds -= now_of(caching, now);
    return seconds > 0 ? seconds : 0;
}

int64_t caching_lifetime(const struct caching *caching, int64_t now)
{
    int64_t lifetime;
    if (caching->forbidden)
        return 0;
    if (caching->has_max_age)
        lifetime = caching->max_age;
    else if (caching->has_expires)
        lifetime = caching->expires - now_of(caching, now);
    else
        return -1;
    lifetime -= caching->age;
    return lifetime > 0 ? lifetime : 0;
}

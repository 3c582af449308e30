#include "common/json_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void json_write_init(struct json_write *w, size_t expected)
{
    *w = (struct json_write){.data = malloc(expected), .cap = expected};
    if (w->data == NULL && expected > 0) {
        w->cap = 0;
        w->failed = true;
    }
}

void json_write_clear(struct json_write *w)
{
    free(w->data);
    *w = (struct json_write){0};
}

static bool make_room(struct json_write *w, size_t len)
{
    if (w->failed)
        return false;
    if (w->cap - w->len >= len)
        return true;
    size_t cap = w->len + len + (w->len + len) / 2;
    char *data = cap < len ? NULL : realloc(w->data, cap);
    if (data == NULL) {
        w->failed = true;
        return false;
    }
    w->data = data;
    w->cap = cap;
    return true;
}

void json_write_raw(struct json_write *w, const char *text, size_t len)
{
    if (!make_room(w, len))
        return;
    memcpy(w->data + w->len, text, len);
    w->len += len;
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\';
}

static void write_escape(struct json_write *w, unsigned char c)
{
    static const char named[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    const char *found = strchr(named, c);
    char escape[8];
    int len;
    if (found != NULL)
        len = snprintf(escape, sizeof(escape), "\\%c", names[found - named]);
    else
        len = snprintf(escape, sizeof(escape), "\\u%04x", c);
    json_write_raw(w, escape, (size_t)len);
}

void json_write_string(struct json_write *w, const char *text)
{
    json_write_literal(w, "\"");
    for (;;) {
        const char *end = text;
        while (is_plain((unsigned char)*end))
            end++;
        json_write_raw(w, text, (size_t)(end - text));
        if (*end == '\0')
            break;
        write_escape(w, (unsigned char)*end);
        text = end + 1;
    }
    json_write_literal(w, "\"");
}

void json_write_integer(struct json_write *w, int64_t value)
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%" PRId64, value);
    json_write_raw(w, digits, (size_t)len);
}

enum sticps_err json_write_check(const struct json_write *w, struct sticps_error *err)
{
    return w->failed ? fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory") : STICPS_OK;
}

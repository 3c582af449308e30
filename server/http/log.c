#include "server/http/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic int max_level = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
    atomic_store(&max_level, (int)level);
}

/* A line under construction. `room` always leaves space for the closing "\"}\n". */
struct line {
    char *out;
    size_t len, room;
};

static bool put(struct line *line, const char *text, size_t len)
{
    if (line->room - line->len < len)
        return false;
    memcpy(line->out + line->len, text, len);
    line->len += len;
    return true;
}

/* One character of a JSON string. Bytes outside ASCII are written as they are when they come from
 * UTF-8 that we made ourselves; what a peer sent was made printable before. */
static bool put_escaped(struct line *line, unsigned char c)
{
    char escaped[8];
    if (c == '"' || c == '\\') {
        escaped[0] = '\\';
        escaped[1] = (char)c;
        return put(line, escaped, 2);
    }
    if (c < 0x20 || c > 0x7e) {
        int len = snprintf(escaped, sizeof(escaped), "\\u%04x", (unsigned)c);
        return put(line, escaped, (size_t)len);
    }
    escaped[0] = (char)c;
    return put(line, escaped, 1);
}

/* "name":"text", cut when it does not fit; nothing at all when not even the name does. */
static void put_text(struct line *line, const char *name, const char *text)
{
    if (line->room - line->len < strlen(name) + 6) /* the quotes, the comma and the colon */
        return;
    put(line, ",\"", 2);
    put(line, name, strlen(name));
    put(line, "\":\"", 3);
    line->room--; /* for the closing quote */
    while (*text != '\0' && put_escaped(line, (unsigned char)*text))
        text++;
    line->room++;
    line->out[line->len++] = '"';
}

static void put_number(struct line *line, const char *name, int64_t number)
{
    char text[96];
    int len = snprintf(text, sizeof(text), ",\"%s\":%" PRId64, name, number);
    if (len > 0 && (size_t)len < sizeof(text))
        put(line, text, (size_t)len);
}

size_t log_format(char *out, size_t size, int64_t time_us, const char *level, const char *msg,
                  const struct log_field *fields, size_t fields_len)
{
    char stamp[96];
    time_t seconds = (time_t)(time_us / 1000000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    int stamp_len =
        snprintf(stamp, sizeof(stamp), "{\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\"",
                 utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                 utc.tm_sec, (int)(time_us % 1000000 / 1000));

    struct line line = {out, 0, size - 4};
    put(&line, stamp, (size_t)stamp_len);
    put_text(&line, "level", level);
    put_text(&line, "msg", msg);
    for (size_t i = 0; i < fields_len; i++) {
        if (fields[i].text != NULL)
            put_text(&line, fields[i].name, fields[i].text);
        else
            put_number(&line, fields[i].name, fields[i].number);
    }
    out[line.len++] = '}';
    out[line.len++] = '\n';
    return line.len;
}

void log_write(const char *line, size_t len)
{
    /* A log that cannot be written must not stop the daemon, and a part of a line is worse than
     * none: whatever did not go out at once is left. */
    ssize_t written;
    do {
        written = write(STDERR_FILENO, line, len);
    } while (written < 0 && errno == EINTR);
}

void log_event(enum log_level level, const char *msg, const struct log_field *fields,
               size_t fields_len)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    if ((int)level > atomic_load(&max_level))
        return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    char line[2048];
    size_t len = log_format(line, sizeof(line), (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000,
                            names[level], msg, fields, fields_len);
    log_write(line, len);
}

#define LOG_PLAIN(level)                             \
    do {                                             \
        char text[1024];                             \
        va_list args;                                \
        va_start(args, format);                      \
        vsnprintf(text, sizeof(text), format, args); \
        va_end(args);                                \
        log_event(level, text, NULL, 0);             \
    } while (0)

void log_info(const char *format, ...)
{
    LOG_PLAIN(LOG_LEVEL_INFO);
}

void log_warn(const char *format, ...)
{
    LOG_PLAIN(LOG_LEVEL_WARN);
}

void log_error(const char *format, ...)
{
    LOG_PLAIN(LOG_LEVEL_ERROR);
}

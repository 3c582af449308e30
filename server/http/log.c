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

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c <= 0x7e && c != '"' && c != '\\';
}

/* A character of a JSON string that does not stand for itself; a byte outside ASCII counts as a
 * character, since what a peer sent may be any bytes. */
static bool put_escaped(struct line *line, unsigned char c)
{
    char escaped[8];
    if (c == '"' || c == '\\') {
        escaped[0] = '\\';
        escaped[1] = (char)c;
        return put(line, escaped, 2);
    }
    int len = snprintf(escaped, sizeof(escaped), "\\u%04x", (unsigned)c);
    return put(line, escaped, (size_t)len);
}

/* "name":"text", cut when it does not fit; nothing at all when not even the name does. */
static void put_text(struct line *line, const char *name, const char *text)
{
    size_t name_len = strlen(name);
    if (line->room - line->len < name_len + 6) /* the quotes, the comma and the colon */
        return;
    put(line, ",\"", 2);
    put(line, name, name_len);
    put(line, "\":\"", 3);
    line->room--; /* for the closing quote */
    for (bool fits = true; fits && *text != '\0';) {
        size_t plain = 0, left = line->room - line->len;
        while (plain < left && is_plain((unsigned char)text[plain]))
            plain++;
        put(line, text, plain);
        text += plain;
        if (*text != '\0')
            fits = !is_plain((unsigned char)*text) && put_escaped(line, (unsigned char)*text++);
    }
    line->room++;
    line->out[line->len++] = '"';
}

static void put_number(struct line *line, const char *name, int64_t number)
{
    char digits[24], *first = digits + sizeof(digits);
    size_t name_len = strlen(name);
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
    do
        *--first = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (number < 0)
        *--first = '-';
    size_t len = (size_t)(digits + sizeof(digits) - first);
    if (line->room - line->len < name_len + 4 + len)
        return;
    put(line, ",\"", 2);
    put(line, name, name_len);
    put(line, "\":", 2);
    put(line, first, len);
}

/* {"time":"…Z"; the part that changes once a second is kept. */
static void put_time(struct line *line, int64_t time_us)
{
    static _Thread_local char stamp[96];
    static _Thread_local int stamp_len;
    static _Thread_local time_t stamp_of;
    time_t seconds = (time_t)(time_us / 1000000);
    if (stamp_len == 0 || seconds != stamp_of) {
        struct tm utc;
        gmtime_r(&seconds, &utc);
        stamp_len = snprintf(stamp, sizeof(stamp),
                             "{\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.000Z\"", utc.tm_year + 1900,
                             utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
        stamp_of = seconds;
    }
    char *millis = stamp + stamp_len - 5;
    int ms = (int)(time_us % 1000000 / 1000);
    millis[0] = (char)('0' + ms / 100);
    millis[1] = (char)('0' + ms / 10 % 10);
    millis[2] = (char)('0' + ms % 10);
    put(line, stamp, (size_t)stamp_len);
}

size_t log_format(char *out, size_t size, int64_t time_us, const char *level, const char *msg,
                  const struct log_field *fields, size_t fields_len)
{
    struct line line = {out, 0, size - 4};
    put_time(&line, time_us);
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

/* The daemon's log: one JSON object per line on stderr, each written by one write(2), so that lines
 * of several threads never mix. Never give it a token, a password, a key or a body.
 *
 *   {"time":"2020-05-20T08:00:00.123Z","level":"info","msg":"listening","listener":"public","port":8443}
 *
 * Any thread. */
#ifndef SERVER_HTTP_LOG_H
#define SERVER_HTTP_LOG_H

#include "common/error.h"

#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* INFO by default. */
void log_set_level(enum log_level level);

/* A further member of the line. */
struct log_field {
    const char *name;
    const char *text; /* NULL: `number` counts */
    int64_t number;
};
#define LOG_TEXT(name, text) ((struct log_field){(name), (text) != NULL ? (text) : "", 0})
#define LOG_NUMBER(name, number) ((struct log_field){(name), NULL, (int64_t)(number)})

/* `msg` is a short fixed text; what varies goes into fields. */
void log_event(enum log_level level, const char *msg, const struct log_field *fields,
               size_t fields_len);
#define log_fields(level, msg, ...)                                    \
    log_event((level), (msg), (const struct log_field[]){__VA_ARGS__}, \
              sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

/* A message in plain words. */
void log_info(const char *format, ...) STICPS_PRINTF(1, 2);
void log_warn(const char *format, ...) STICPS_PRINTF(1, 2);
void log_error(const char *format, ...) STICPS_PRINTF(1, 2);

/* One line as it would be written, line break included, into `out`; returns its length (cut to fit,
 * still valid JSON). `time_us`: Unix microseconds. For log.c, access_log.c and tests. */
size_t log_format(char *out, size_t size, int64_t time_us, const char *level, const char *msg,
                  const struct log_field *fields, size_t fields_len);
/* Writes a finished line. */
void log_write(const char *line, size_t len);

#endif

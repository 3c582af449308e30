#include "client/events.h"

#include "client/client.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const names[STICPS_EVENT_COUNT] = {
    [STICPS_EVENT_LIST] = "list",         [STICPS_EVENT_X5U] = "x5u",
    [STICPS_EVENT_DELIVERY] = "delivery", [STICPS_EVENT_PAUSE] = "pause",
    [STICPS_EVENT_SOURCE] = "source",     [STICPS_EVENT_ANCHORS] = "anchors",
    [STICPS_EVENT_ENUM] = "enum",
};

const char *sticps_event_name(enum sticps_event event)
{
    return (unsigned)event < STICPS_EVENT_COUNT ? names[event] : "unknown";
}

void events_init(struct events *events, const struct sticps_options *options)
{
    events->options = options;
    for (size_t event = 0; event < STICPS_EVENT_COUNT; event++)
        for (size_t code = 0; code < STICPS_ERR_COUNT; code++)
            atomic_init(&events->counts[event][code], 0);
}

/* Calls fail by the thousand; what concerns all of them does not. */
static enum sticps_log_level level_of(enum sticps_event event, enum sticps_err code)
{
    if (event == STICPS_EVENT_DELIVERY || event == STICPS_EVENT_ENUM)
        return STICPS_LOG_DEBUG;
    if (code == STICPS_OK)
        return STICPS_LOG_INFO;
    bool of_list =
        event == STICPS_EVENT_LIST || event == STICPS_EVENT_SOURCE || event == STICPS_EVENT_ANCHORS;
    return of_list && code != STICPS_ERR_FETCH ? STICPS_LOG_ERROR : STICPS_LOG_WARN;
}

static void count(struct events *events, enum sticps_event event, enum sticps_err code)
{
    atomic_fetch_add_explicit(&events->counts[event][code], 1, memory_order_relaxed);
}

static void tell(const struct events *events, enum sticps_event event, enum sticps_err code,
                 const char *where, const char *text)
{
    if (events->options->log != NULL)
        events->options->log(events->options->log_ctx, level_of(event, code), event, code, where,
                             text);
}

static bool is_number(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "+0123456789")] == '\0';
}

void events_note(struct events *events, enum sticps_event event, enum sticps_err code,
                 const struct sticps_error *err)
{
    count(events, event, code);
    if (code != STICPS_OK)
        tell(events, event, code, is_number(err->where) ? "" : err->where, err->text);
}

void events_tell(struct events *events, enum sticps_event event, const char *where,
                 const char *format, ...)
{
    char text[256];
    va_list args;
    count(events, event, STICPS_OK);
    if (events->options->log == NULL)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    tell(events, event, STICPS_OK, where, text);
}

uint64_t sticps_event_count(const struct sticps_client *client, enum sticps_event event,
                            enum sticps_err code)
{
    if ((unsigned)event >= STICPS_EVENT_COUNT || (unsigned)code >= STICPS_ERR_COUNT)
        return 0;
    return atomic_load_explicit(&client->events.counts[event][code], memory_order_relaxed);
}

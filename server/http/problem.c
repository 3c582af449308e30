#include "server/http/reply.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct problem PROBLEM_NOT_JSON = {400, "NOT_JSON"};
const struct problem PROBLEM_UNAUTHENTICATED = {401, "UNAUTHENTICATED"};
const struct problem PROBLEM_FORBIDDEN = {403, "FORBIDDEN"};
const struct problem PROBLEM_NOT_FOUND = {404, "NOT_FOUND"};
const struct problem PROBLEM_METHOD_NOT_ALLOWED = {405, "METHOD_NOT_ALLOWED"};
const struct problem PROBLEM_CONFLICT = {409, "CONFLICT"};
const struct problem PROBLEM_PRECONDITION_FAILED = {412, "PRECONDITION_FAILED"};
const struct problem PROBLEM_TOO_LARGE = {413, "TOO_LARGE"};
const struct problem PROBLEM_UNSUPPORTED_MEDIA_TYPE = {415, "UNSUPPORTED_MEDIA_TYPE"};
const struct problem PROBLEM_INVALID = {422, "INVALID"};
const struct problem PROBLEM_TOO_MANY_REQUESTS = {429, "TOO_MANY_REQUESTS"};
const struct problem PROBLEM_INTERNAL = {500, "INTERNAL"};
const struct problem PROBLEM_UNAVAILABLE = {503, "UNAVAILABLE"};

const char *reply_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {436, "Bad Identity Info"},      /* RFC 8224 s6.2.2 */
        {437, "Unsupported Credential"}, /* and s13.1 */
        {438, "Invalid Identity Header"},
        {500, "Internal Server Error"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
    };
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Error";
}

/* Details quote what a client sent, which may be no UTF-8; jansson would refuse the whole text. */
static json_t *safe_string(const char *text)
{
    json_t *value = json_string(text);
    if (value != NULL)
        return value;
    char *ascii = strdup(text);
    if (ascii == NULL)
        abort();
    for (char *c = ascii; *c != '\0'; c++)
        if ((unsigned char)*c > 0x7e)
            *c = '?';
    value = json_string(ascii);
    free(ascii);
    return value;
}

void problem_add(json_t *errors, const char *pointer, const char *format, ...)
{
    char detail[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    json_t *entry = json_object();
    json_object_set_new(entry, "pointer", safe_string(pointer));
    json_object_set_new(entry, "detail", safe_string(detail));
    json_array_append_new(errors, entry);
}

const char *problem_reason(const struct problem *problem)
{
    if (problem->status == 403 && strcmp(problem->code, "STALE_DATE") == 0)
        return "Stale Date";
    return reply_reason(problem->status);
}

char *problem_text(const struct problem *problem, const char *detail, json_t *errors)
{
    char type[128];
    int start = snprintf(type, sizeof(type), "urn:sticps:problem:%s", problem->code);
    for (char *c = type; start > 0 && *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    json_t *document = json_object();
    json_object_set_new(document, "type", json_string(type));
    json_object_set_new(document, "title", json_string(problem_reason(problem)));
    json_object_set_new(document, "status", json_integer(problem->status));
    json_object_set_new(document, "code", json_string(problem->code));
    if (detail != NULL && detail[0] != '\0')
        json_object_set_new(document, "detail", safe_string(detail));
    if (errors != NULL)
        json_object_set_new(document, "errors", errors);
    char *text = json_dumps(document, JSON_COMPACT);
    json_decref(document);
    if (text == NULL)
        abort();
    return text;
}

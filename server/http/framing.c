#include "server/http/internal.h"

#include <string.h>
#include <strings.h>

/* The next line of `head` from *at, without its line break; false at the empty line or the end. */
static bool next_line(const char *head, size_t len, size_t *at, const char **line, size_t *line_len)
{
    if (*at >= len)
        return false;
    const char *start = head + *at;
    const char *end = memchr(start, '\n', len - *at);
    if (end == NULL)
        return false;
    *at = (size_t)(end - head) + 1;
    size_t n = (size_t)(end - start);
    if (n > 0 && start[n - 1] == '\r')
        n--;
    *line = start;
    *line_len = n;
    return n > 0;
}

static bool name_is(const char *line, size_t len, const char *name)
{
    size_t n = strlen(name);
    return len > n && line[n] == ':' && strncasecmp(line, name, n) == 0;
}

enum framing framing_check(const char *head, size_t len, bool http10)
{
    size_t at = 0, lengths = 0, encodings = 0, hosts = 0;
    const char *line;
    size_t line_len;
    /* The parser lets an empty line stand before the request line. */
    while (at < len && (head[at] == '\r' || head[at] == '\n'))
        at++;
    if (!next_line(head, len, &at, &line, &line_len))
        return FRAMING_GOOD;
    while (next_line(head, len, &at, &line, &line_len)) {
        if (line[0] == ' ' || line[0] == '\t')
            return FRAMING_AMBIGUOUS;
        if (name_is(line, line_len, "content-length"))
            lengths++;
        else if (name_is(line, line_len, "transfer-encoding"))
            encodings++;
        else if (name_is(line, line_len, "host"))
            hosts++;
    }
    if (lengths + encodings > 1 || hosts > 1 || (encodings > 0 && http10))
        return FRAMING_AMBIGUOUS;
    return at > SERVER_MAX_HEAD ? FRAMING_TOO_LONG : FRAMING_GOOD;
}

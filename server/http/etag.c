/* Conditions on ETags (RFC 9110 s8.8.3, s13.1.1, s13.1.2). Our own tags are strong. */
#include "server/http/reply.h"

#include <string.h>

/* The next entity tag of a list from *at, its quotes included; NULL at the end or at what is no
 * tag. */
static const char *next_tag(const char **at, size_t *len, bool *weak)
{
    const char *p = *at;
    while (*p == ' ' || *p == '\t' || *p == ',')
        p++;
    *weak = p[0] == 'W' && p[1] == '/';
    if (*weak)
        p += 2;
    if (*p != '"')
        return NULL;
    const char *end = strchr(p + 1, '"');
    if (end == NULL)
        return NULL;
    *len = (size_t)(end - p) + 1;
    *at = end + 1;
    return p;
}

static bool is_star(const char *header)
{
    header += strspn(header, " \t");
    return header[0] == '*' && header[1 + strspn(header + 1, " \t")] == '\0';
}

static bool list_has(const char *header, const char *etag, bool strong)
{
    size_t len, wanted = strlen(etag);
    bool weak;
    const char *tag;
    while ((tag = next_tag(&header, &len, &weak)) != NULL)
        if (len == wanted && memcmp(tag, etag, len) == 0 && !(strong && weak))
            return true;
    return false;
}

bool etag_none_match(const char *header, const char *etag)
{
    return header != NULL && (is_star(header) || list_has(header, etag, false));
}

bool etag_match(const char *header, const char *etag)
{
    if (header == NULL)
        return true;
    return etag != NULL && (is_star(header) || list_has(header, etag, true));
}

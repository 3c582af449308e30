#include "server/http/router.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Does `pattern` take `path`? Fills the params; `*literals` counts the segments that matched as
 * written. Every request meets every pattern, and most differ within their first letters: the two
 * are compared letter by letter. */
static bool pattern_match(const char *pattern, const char *path, size_t path_len,
                          struct route_match *match, size_t *literals)
{
    size_t at = 0, segments = 0;
    match->params_len = 0;
    while (*pattern != '\0' && at < path_len) {
        if (*pattern == '{' && pattern[-1] == '/') {
            const char *slash = memchr(path + at, '/', path_len - at);
            size_t name = strcspn(++pattern, "}");
            size_t len = slash != NULL ? (size_t)(slash - path) - at : path_len - at;
            if (len == 0 || match->params_len == ROUTE_MAX_PARAMS)
                return false;
            match->params[match->params_len++] = (struct route_param){pattern, name, at, len};
            pattern += name + 1;
            at += len;
        } else if (*pattern == path[at]) {
            segments += *pattern == '/';
            pattern++;
            at++;
        } else {
            return false;
        }
    }
    *literals = segments - match->params_len;
    return *pattern == '\0' && at == path_len;
}

static bool method_is(const char *route_method, const char *method, size_t len)
{
    if (strlen(route_method) == len && memcmp(route_method, method, len) == 0)
        return true;
    return len == 4 && memcmp(method, "HEAD", 4) == 0 && strcmp(route_method, "GET") == 0;
}

/* Does any route take the path, whatever its method? */
static bool path_is_known(const struct route *routes, size_t routes_len, const char *path,
                          size_t path_len)
{
    for (size_t i = 0; i < routes_len; i++) {
        struct route_match ignored;
        size_t literals;
        if (pattern_match(routes[i].path, path, path_len, &ignored, &literals))
            return true;
    }
    return false;
}

void router_match(const struct route *routes, size_t routes_len, const char *method,
                  size_t method_len, const char *path, size_t path_len, struct route_match *out)
{
    *out = (struct route_match){0};
    size_t best = 0;
    for (size_t i = 0; i < routes_len; i++) {
        struct route_match found = {0};
        size_t literals;
        if (!method_is(routes[i].method, method, method_len) ||
            !pattern_match(routes[i].path, path, path_len, &found, &literals) ||
            (out->route != NULL && literals <= best))
            continue;
        found.route = &routes[i];
        found.path_known = true;
        *out = found;
        best = literals;
    }
    if (out->route == NULL)
        out->path_known = path_is_known(routes, routes_len, path, path_len);
}

/* Appends ", METHOD" unless the list has it already. */
static void allow_add(char *out, size_t out_size, const char *method)
{
    size_t len = strlen(out), n = strlen(method);
    for (const char *at = strstr(out, method); at != NULL; at = strstr(at + 1, method))
        if ((at == out || at[-1] == ' ') && (at[n] == ',' || at[n] == '\0'))
            return;
    if (len + n + 3 <= out_size)
        snprintf(out + len, out_size - len, "%s%s", len > 0 ? ", " : "", method);
}

void router_allow(const struct route *routes, size_t routes_len, const char *path, size_t path_len,
                  char *out, size_t out_size)
{
    out[0] = '\0';
    for (size_t i = 0; i < routes_len; i++) {
        struct route_match found = {0};
        size_t literals;
        if (!pattern_match(routes[i].path, path, path_len, &found, &literals))
            continue;
        allow_add(out, out_size, routes[i].method);
        if (strcmp(routes[i].method, "GET") == 0)
            allow_add(out, out_size, "HEAD");
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool router_decode_segment(const char *raw, size_t len, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        int c = (unsigned char)raw[i];
        if (raw[i] == '%') {
            if (len - i < 3 || hex_value(raw[i + 1]) < 0 || hex_value(raw[i + 2]) < 0)
                return false;
            c = hex_value(raw[i + 1]) * 16 + hex_value(raw[i + 2]);
            i += 2;
        }
        if (c == '\0' || c == '/')
            return false;
        out[n++] = (char)c;
    }
    out[n] = '\0';
    return n > 0;
}

static bool media_type_is(const char *header, size_t len, const char *expected, size_t expected_len)
{
    const char *semicolon = memchr(header, ';', len);
    if (semicolon != NULL)
        len = (size_t)(semicolon - header);
    while (len > 0 && (header[len - 1] == ' ' || header[len - 1] == '\t'))
        len--;
    while (len > 0 && (header[0] == ' ' || header[0] == '\t')) {
        header++;
        len--;
    }
    return len == expected_len && strncasecmp(header, expected, len) == 0;
}

bool router_media_type_is(const char *header, size_t len, const char *expected)
{
    return media_type_is(header, len, expected, strlen(expected));
}

bool router_media_type_among(const char *header, size_t len, const char *list)
{
    while (*list != '\0') {
        size_t one = strcspn(list, ",");

        if (media_type_is(header, len, list, one))
            return true;
        list += one;
        list += strspn(list, ", ");
    }
    return false;
}

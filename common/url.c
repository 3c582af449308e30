#include "common/url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define HOST_MAX 253
#define LABEL_MAX 63

/* What the text of a URL is made of, before any rule but the grammar's. */
struct parts {
    struct url url;
    bool has_userinfo;
    bool has_query;
    bool has_fragment;
};

/* Own tests rather than ctype.h: they do not depend on the host's locale. */
static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'f');
}

/* A list has tens of thousands of URLs, all checked before it is signed and when it is taken: what
 * is asked of every character is answered by a table. */
#define IN_NAME 1u /* letters, digits, '-' */
#define IN_PATH 2u /* pchar (RFC 3986 s3.3) and '/'; '%' has its own rule */

/* clang-format off */
#define P IN_PATH
#define N (IN_NAME | IN_PATH)
static const unsigned char class_of[256] = {
    [0x20] = 0, P, 0, 0, P, 0, P, P, P, P, P, P, P, N, P, P, /* space to '/' */
             N, N, N, N, N, N, N, N, N, N, P, P, 0, P, 0, 0, /* '0' to '?' */
             P, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, /* '@' to 'O' */
             N, N, N, N, N, N, N, N, N, N, N, 0, 0, 0, 0, P, /* 'P' to '_' */
             0, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, /* '`' to 'o' */
             N, N, N, N, N, N, N, N, N, N, N, 0, 0, 0, P, 0, /* 'p' on */
};
#undef P
#undef N
/* clang-format on */

static bool is_in(char c, unsigned class)
{
    return (class_of[(unsigned char)c] & class) != 0;
}

/* Does `text` begin with `word`, which is lower case and not longer, but for case? */
static bool begins(const char *text, const char *word)
{
    for (size_t i = 0; word[i] != '\0'; i++)
        if (lower(text[i]) != word[i])
            return false;
    return true;
}

static enum sticps_err refuse(struct sticps_error *err, const char *why)
{
    return fail(err, STICPS_ERR_URL, NULL, "%s", why);
}

/* ---- the grammar ---- */

/* "1" in 127.1, "2130706433" and "0x7f" are what inet_aton and web browsers read as an address. */
static bool is_numeric_label(const char *label, size_t len)
{
    size_t i = 0;
    bool hex = len >= 2 && label[0] == '0' && lower(label[1]) == 'x';
    for (i = hex ? 2 : 0; i < len; i++)
        if (hex ? !is_hex(label[i]) : !is_digit(label[i]))
            return false;
    return true;
}

/* A host name (RFC 1123 s2.1): letters, digits and hyphens, in labels of 1 to 63. */
static enum sticps_err check_name(const char *host, size_t len, struct sticps_error *err)
{
    if (len > HOST_MAX)
        return refuse(err, "the host name is longer than 253 characters");
    const char *end = host + len;
    for (const char *label = host;;) {
        const char *dot = memchr(label, '.', (size_t)(end - label));
        size_t label_len = (size_t)((dot != NULL ? dot : end) - label);
        if (label_len == 0)
            return refuse(err, "the host name is empty, has an empty label or ends with a dot");
        if (label_len > LABEL_MAX)
            return refuse(err, "a label of the host name is longer than 63 characters");
        for (size_t i = 0; i < label_len; i++)
            if (!is_in(label[i], IN_NAME))
                return fail(err, STICPS_ERR_URL, NULL,
                            "'%c' in the host name: it has letters, digits, hyphens and dots",
                            label[i]);
        if (label[0] == '-' || label[label_len - 1] == '-')
            return refuse(err, "a label of the host name starts or ends with a hyphen");
        if (dot == NULL && is_numeric_label(label, label_len))
            return refuse(err,
                          "the host reads as a number or an IPv4 address in an odd form; write "
                          "the host's name");
        if (dot == NULL)
            return STICPS_OK;
        label = dot + 1;
    }
}

/* The bytes of an IP literal; false if the host is none. */
static bool literal_address(const struct url *url, unsigned char addr[16], size_t *addr_len)
{
    char text[INET6_ADDRSTRLEN];
    if (url->host_len >= sizeof(text))
        return false;
    memcpy(text, url->host, url->host_len);
    text[url->host_len] = '\0';
    *addr_len = url->host_kind == URL_HOST_IPV6 ? 16 : 4;
    return inet_pton(url->host_kind == URL_HOST_IPV6 ? AF_INET6 : AF_INET, text, addr) == 1;
}

/* Fills in host_kind for host and host_len. */
static enum sticps_err check_host(struct url *url, bool bracketed, struct sticps_error *err)
{
    unsigned char addr[16];
    size_t addr_len;
    /* every IPv4 address that inet_pton takes begins with a digit */
    bool literal = bracketed || (url->host_len > 0 && is_digit(url->host[0]));
    url->host_kind = bracketed ? URL_HOST_IPV6 : URL_HOST_IPV4;
    if (literal && literal_address(url, addr, &addr_len))
        return STICPS_OK;
    if (bracketed)
        return refuse(err, "what stands in brackets is no IPv6 address");
    url->host_kind = URL_HOST_NAME;
    return check_name(url->host, url->host_len, err);
}

/* What follows the host: nothing, ":" or ":" and digits. */
static enum sticps_err parse_port(const char *text, size_t len, unsigned *port,
                                  struct sticps_error *err)
{
    unsigned value = 0;
    *port = 443;
    if (len == 0)
        return STICPS_OK;
    if (text[0] != ':')
        return refuse(err, "between the host and the path only a port may stand");
    for (size_t i = 1; i < len; i++) {
        if (!is_digit(text[i]))
            return refuse(err, "the port is not a number");
        value = value * 10 + (unsigned)(text[i] - '0');
        if (value > 65535)
            return refuse(err, "the port is above 65535");
    }
    if (len > 1 && value == 0)
        return refuse(err, "port 0 does not exist");
    if (len > 1)
        *port = value;
    return STICPS_OK;
}

static enum sticps_err parse_authority(const char *text, size_t len, struct parts *out,
                                       struct sticps_error *err)
{
    const char *end = text + len, *host_end;
    const char *at = memrchr(text, '@', len);
    out->has_userinfo = at != NULL;
    if (at != NULL)
        text = at + 1;

    bool bracketed = text < end && *text == '[';
    if (bracketed) {
        text++;
        host_end = memchr(text, ']', (size_t)(end - text));
        if (host_end == NULL)
            return refuse(err, "the host's '[' has no ']'");
    } else {
        host_end = memchr(text, ':', (size_t)(end - text));
        if (host_end == NULL)
            host_end = end;
    }
    out->url.host = text;
    out->url.host_len = (size_t)(host_end - text);
    if (check_host(&out->url, bracketed, err) != STICPS_OK)
        return STICPS_ERR_URL;
    if (bracketed)
        host_end++;
    return parse_port(host_end, (size_t)(end - host_end), &out->url.port, err);
}

/* RFC 3986 s3: https://authority path ?query #fragment, in printable ASCII. */
static enum sticps_err split(const char *text, size_t len, struct parts *out,
                             struct sticps_error *err)
{
    static const char scheme[] = "https://";
    memset(out, 0, sizeof(*out));
    if (len == 0)
        return refuse(err, "the URL is empty");
    if (len > URL_MAX_LENGTH)
        return refuse(err, "the URL is longer than 2048 characters");
    for (size_t i = 0; i < len; i++)
        if (text[i] <= 0x20 || text[i] > 0x7e || text[i] == '\\')
            return fail(err, STICPS_ERR_URL, NULL,
                        "byte 0x%02x at position %zu: a URL is printable ASCII without space and "
                        "backslash",
                        (unsigned)(unsigned char)text[i], i + 1);
    if (len < sizeof(scheme) - 1 || !begins(text, scheme))
        return refuse(err, "the URL does not start with https://");

    const char *authority = text + sizeof(scheme) - 1, *p = authority, *end = text + len;
    while (p < end && *p != '/' && *p != '?' && *p != '#')
        p++;
    if (parse_authority(authority, (size_t)(p - authority), out, err) != STICPS_OK)
        return STICPS_ERR_URL;

    out->url.path = p;
    while (p < end && *p != '?' && *p != '#')
        p++;
    out->url.path_len = (size_t)(p - out->url.path);
    if (out->url.path_len == 0)
        out->url.path = "";
    out->has_query = p < end && *p == '?';
    out->has_fragment = memchr(p, '#', (size_t)(end - p)) != NULL;
    return STICPS_OK;
}

/* ---- the rules ---- */

static enum sticps_err check_nothing_extra(const struct parts *parts, bool query,
                                           struct sticps_error *err)
{
    if (parts->has_userinfo)
        return refuse(err, "a user name or password ('@') is not allowed in the URL");
    if (parts->has_query && !query)
        return refuse(err, "a query ('?') is not allowed in the URL, not even an empty one");
    if (parts->has_fragment)
        return refuse(err, "a fragment ('#') is not allowed in the URL, not even an empty one");
    return STICPS_OK;
}

/* A public DNS name. The lab adds localhost, one-label names and loopback and private literals. */
static enum sticps_err check_host_rules(const struct url *url, bool lab, struct sticps_error *err)
{
    static const char localhost[] = "localhost";
    const size_t n = sizeof(localhost) - 1;

    if (url->host_kind != URL_HOST_NAME) {
        unsigned char addr[16];
        size_t len;
        if (!lab)
            return refuse(err, "an IP address stands for the host; write the host's name");
        if (!literal_address(url, addr, &len) || !address_is_closed(addr, len, false) ||
            address_is_closed(addr, len, true))
            return refuse(err, "an IP address stands for the host; the lab setting allows only "
                               "loopback and private ones");
        return STICPS_OK;
    }
    if (lab)
        return STICPS_OK;
    if (url->host_len >= n && begins(url->host + url->host_len - n, localhost) &&
        (url->host_len == n || url->host[url->host_len - n - 1] == '.'))
        return refuse(err, "localhost is not allowed as the host");
    if (memchr(url->host, '.', url->host_len) == NULL)
        return refuse(err, "the host name has only one label; write it with its domain");
    return STICPS_OK;
}

static enum sticps_err check_port(const struct url *url, bool lab, const uint16_t *ports,
                                  size_t ports_len, struct sticps_error *err)
{
    if (url->port == 443 || lab)
        return STICPS_OK;
    for (size_t i = 0; i < ports_len; i++)
        if (url->port == ports[i])
            return STICPS_OK;
    return fail(err, STICPS_ERR_URL, NULL, "port %u is not allowed here", url->port);
}

/* ---- the normal form ---- */

/* The path's characters (RFC 3986 s3.3): pchar and '/'. `*percent_ok` is false when a '%' is
 * followed by anything but two hexadecimal digits. */
static enum sticps_err check_path(const struct url *url, bool *percent_ok, struct sticps_error *err)
{
    *percent_ok = true;
    for (size_t i = 0; i < url->path_len; i++) {
        char c = url->path[i];
        if (c == '%') {
            if (url->path_len - i < 3 || !is_hex(url->path[i + 1]) || !is_hex(url->path[i + 2]))
                *percent_ok = false;
        } else if (!is_in(c, IN_PATH)) {
            return fail(err, STICPS_ERR_URL, NULL,
                        "'%c' is not allowed in the path; write it percent-encoded", c);
        }
    }
    return STICPS_OK;
}

/* 1 for ".", 2 for "..", however they are spelled; 0 for any other segment. */
static unsigned dot_segment(const char *segment, size_t len)
{
    unsigned dots = 0;
    for (size_t i = 0; i < len; dots++) {
        if (segment[i] == '.')
            i += 1;
        else if (len - i >= 3 && segment[i] == '%' && segment[i + 1] == '2' &&
                 lower(segment[i + 2]) == 'e')
            i += 3;
        else
            return 0;
        if (dots == 2)
            return 0;
    }
    return dots;
}

/* RFC 3986 s5.2.4, in one pass. `out` has room for path_len bytes; returns the new length. */
static size_t remove_dot_segments(const struct url *url, char *out)
{
    size_t used = 0;
    for (size_t i = 0, end; i < url->path_len; i = end) { /* path[i] is '/' */
        for (end = i + 1; end < url->path_len && url->path[end] != '/';)
            end++;
        unsigned dots = dot_segment(url->path + i + 1, end - i - 1);
        if (dots == 0) {
            memcpy(out + used, url->path + i, end - i);
            used += end - i;
            continue;
        }
        if (dots == 2)
            while (used > 0 && out[--used] != '/')
                ;
        if (end == url->path_len)
            out[used++] = '/';
    }
    return used;
}

/* Never longer than the URL itself. NUL-terminated. */
static void normal_form(const struct url *url, char out[URL_MAX_LENGTH + 1])
{
    static const char scheme[] = "https://";
    bool v6 = url->host_kind == URL_HOST_IPV6;
    size_t used = sizeof(scheme) - 1;
    memcpy(out, scheme, used);
    if (v6)
        out[used++] = '[';
    for (size_t i = 0; i < url->host_len; i++)
        out[used++] = lower(url->host[i]);
    if (v6)
        out[used++] = ']';
    if (url->port != 443)
        used += (size_t)snprintf(out + used, URL_MAX_LENGTH + 1 - used, ":%u", url->port);
    used += remove_dot_segments(url, out + used);
    out[used] = '\0';
}

static enum sticps_err check_normal_form(const char *text, size_t len, const struct url *url,
                                         struct sticps_error *err)
{
    char normal[URL_MAX_LENGTH + 1];
    normal_form(url, normal);
    if (strlen(normal) == len && memcmp(normal, text, len) == 0)
        return STICPS_OK;

    const char *fault = "has dot segments in the path";
    const char *host_end = url->host + url->host_len;
    for (const char *p = text; p < host_end; p++)
        if (*p != lower(*p))
            fault = "has upper case in scheme or host";
    if (host_end < text + len && *host_end == ']')
        host_end++;
    const char *path = url->path_len > 0 ? url->path : text + len;
    char port[8] = "";
    if (url->port != 443)
        snprintf(port, sizeof(port), ":%u", url->port);
    if (strlen(port) != (size_t)(path - host_end))
        fault = url->port == 443 ? "writes the port, which is 443 without saying so"
                                 : "writes the port with leading zeros";
    return fail(err, STICPS_ERR_URL, NULL, "the URL is not in normal form: it %s; use %s", fault,
                normal);
}

/* ---- the three places ---- */

enum sticps_err url_parse(const char *text, size_t len, struct url *out, struct sticps_error *err)
{
    struct parts parts;
    if (split(text, len, &parts, err) != STICPS_OK ||
        check_nothing_extra(&parts, true, err) != STICPS_OK)
        return STICPS_ERR_URL;
    *out = parts.url;
    return STICPS_OK;
}

enum sticps_err cps_url_check(const char *text, size_t len, const struct url_rules *rules,
                              struct sticps_error *err)
{
    struct parts parts;
    bool percent_ok;
    if (split(text, len, &parts, err) != STICPS_OK ||
        check_nothing_extra(&parts, false, err) != STICPS_OK ||
        check_host_rules(&parts.url, rules->lab, err) != STICPS_OK ||
        check_port(&parts.url, rules->lab, rules->ports, rules->ports_len, err) != STICPS_OK ||
        check_path(&parts.url, &percent_ok, err) != STICPS_OK)
        return STICPS_ERR_URL;
    if (rules->any_form)
        return STICPS_OK;
    if (!percent_ok)
        return refuse(err, "a '%' in the path is not followed by two hexadecimal digits; write a "
                           "real percent sign as %25");
    return check_normal_form(text, len, &parts.url, err);
}

enum sticps_err x5u_check(const char *text, size_t len, bool lab, struct sticps_error *err)
{
    static const uint16_t ports[] = {8443};
    struct parts parts;
    if (split(text, len, &parts, err) != STICPS_OK ||
        check_nothing_extra(&parts, false, err) != STICPS_OK ||
        check_host_rules(&parts.url, lab, err) != STICPS_OK)
        return STICPS_ERR_URL;
    return check_port(&parts.url, lab, ports, sizeof(ports) / sizeof(ports[0]), err);
}

bool url_same_host(const struct url *a, const struct url *b)
{
    if (a->host_len != b->host_len) /* no name reads as an address */
        return false;
    for (size_t i = 0; i < a->host_len; i++)
        if (lower(a->host[i]) != lower(b->host[i]))
            return false;
    return true;
}

bool url_peer_name(const struct url *url, char out[URL_PEER_NAME_SIZE])
{
    int len =
        snprintf(out, URL_PEER_NAME_SIZE, "%.*s:%u", (int)url->host_len, url->host, url->port);
    if (len < 0 || (size_t)len >= URL_PEER_NAME_SIZE)
        return false;
    for (char *at = out; *at != '\0'; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at - 'A' + 'a');
    return true;
}

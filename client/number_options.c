/* The options of numbers.h: where numbers are looked up, in which order. */
#include "client/options.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define DNS_PORT 53
#define LABEL_MAX 63

bool options_name(const struct sticps_options *options, enum number_kind kind)
{
    for (size_t i = 0; i < options->number_kinds_len; i++)
        if (options->number_kinds[i] == kind)
            return true;
    return false;
}

static enum sticps_err add_kind(struct sticps_options *options, enum number_kind kind,
                                const char *what, struct sticps_error *err)
{
    if (options_name(options, kind))
        return fail(err, STICPS_ERR_USAGE, what, "it is among the sources of numbers already");
    options->number_kinds[options->number_kinds_len++] = kind;
    return STICPS_OK;
}

enum sticps_err sticps_options_add_npdb(struct sticps_options *options, struct sticps_error *err)
{
    return add_kind(options, NUMBERS_NPDB, "npdb", err);
}

enum sticps_err sticps_options_add_dip(struct sticps_options *options, sticps_dip_fn *dip,
                                       void *ctx, struct sticps_error *err)
{
    if (dip == NULL)
        return fail(err, STICPS_ERR_USAGE, "dip", "give the function that looks numbers up");
    enum sticps_err code = add_kind(options, NUMBERS_DIP, "dip", err);
    if (code == STICPS_OK) {
        options->dip = dip;
        options->dip_ctx = ctx;
    }
    return code;
}

/* ---- ENUM ---- */

/* Letters (in lower case then), digits, '-' and '_', in labels of their length. */
static bool read_apex(const char *text, char out[ENUM_APEX_SIZE])
{
    size_t len = strlen(text), label = 0;
    if (len > 0 && text[len - 1] == '.')
        len--;
    if (len == 0 || len >= ENUM_APEX_SIZE)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (!letter && (c != '.' || label == 0))
            return false;
        label = letter ? label + 1 : 0;
        if (label > LABEL_MAX)
            return false;
        out[i] = c;
    }
    out[len] = '\0';
    return label > 0;
}

enum sticps_err sticps_options_add_enum(struct sticps_options *options, const char *apex,
                                        struct sticps_error *err)
{
    char read[ENUM_APEX_SIZE];
    if (!read_apex(apex, read))
        return fail(err, STICPS_ERR_USAGE, "apex",
                    "not a domain name of at most %d characters; write the one that numbers are "
                    "under, as e164.carrier.example",
                    ENUM_APEX_SIZE - 1);
    enum sticps_err code = add_kind(options, NUMBERS_ENUM, "enum", err);
    if (code == STICPS_OK)
        memcpy(options->enumeration.apex, read, sizeof(read));
    return code;
}

/* The parts of "192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[2001:db8::1]:5353". */
static bool split(const char *text, char host[INET6_ADDRSTRLEN], const char **port)
{
    const char *colon = strchr(text, ':');
    size_t len = strlen(text);
    *port = NULL;
    if (text[0] == '[') {
        const char *close = strchr(text, ']');
        if (colon == NULL || close == NULL || colon > close ||
            (close[1] != '\0' && close[1] != ':'))
            return false;
        *port = close[1] == ':' ? close + 2 : NULL;
        len = (size_t)(close - ++text);
    } else if (colon != NULL && strchr(colon + 1, ':') == NULL) {
        *port = colon + 1;
        len = (size_t)(colon - text);
    }
    if (len >= INET6_ADDRSTRLEN)
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    return true;
}

static bool read_server(const char *text, struct enum_server *out)
{
    char host[INET6_ADDRSTRLEN], *end = NULL;
    const char *port = NULL;
    if (!split(text, host, &port))
        return false;
    unsigned long number = DNS_PORT;
    if (port != NULL)
        number = *port >= '0' && *port <= '9' ? strtoul(port, &end, 10) : 0;
    if (number == 0 || number > UINT16_MAX || (end != NULL && *end != '\0'))
        return false;
    *out = (struct enum_server){.port = (uint16_t)number};
    out->family = strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
    return inet_pton(out->family, host, out->address) == 1;
}

enum sticps_err sticps_options_add_enum_server(struct sticps_options *options, const char *address,
                                               struct sticps_error *err)
{
    struct enum_options *to = &options->enumeration;
    struct enum_server server;
    if (!read_server(address, &server))
        return fail(err, STICPS_ERR_USAGE, "enum server",
                    "'%s' is no address; write an IP address, and the port where it is not 53: "
                    "192.0.2.1:5353, [2001:db8::1]:5353",
                    address);
    if (to->servers_len == ENUM_SERVERS_MAX)
        return fail(err, STICPS_ERR_USAGE, "enum server", "more than %d", ENUM_SERVERS_MAX);
    to->servers[to->servers_len++] = server;
    return STICPS_OK;
}

void sticps_options_set_enum_limits(struct sticps_options *options, unsigned deadline_ms,
                                    unsigned cached)
{
    if (deadline_ms != 0)
        options->enumeration.deadline_ms =
            deadline_ms < ENUM_DEADLINE_MAX_MS ? deadline_ms : ENUM_DEADLINE_MAX_MS;
    if (cached != 0)
        options->enumeration.cached = cached < ENUM_CACHED_MAX ? cached : ENUM_CACHED_MAX;
}

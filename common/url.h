/* URLs as three places of the protocol allow them: a CPS URL in the mapping, an x5u, the address of
 * a list. One parser, three sets of rules. Nothing here resolves a name. */
#ifndef COMMON_URL_H
#define COMMON_URL_H

#include "common/address.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define URL_MAX_LENGTH 2048

enum url_host_kind { URL_HOST_NAME, URL_HOST_IPV4, URL_HOST_IPV6 };

/* The parts of an https URL, borrowed from the text that was parsed. */
struct url {
    const char *host; /* without brackets, for IPv6 */
    size_t host_len;
    enum url_host_kind host_kind;
    unsigned port;    /* 443 when none is written */
    const char *path; /* from the first '/', or "" */
    size_t path_len;
};

struct url_rules {
    bool lab;              /* loopback and private literals, localhost, one-label hosts, any port */
    bool any_form;         /* do not demand the normal form (clients reading a list) */
    const uint16_t *ports; /* further ports that the configuration allows */
    size_t ports_len;
};

/* Any absolute https URL without userinfo and fragment; the address of a list or a CPS that an
 * operator typed. A query is allowed. */
enum sticps_err url_parse(const char *text, size_t len, struct url *out,
                          struct sticps_error *err) STICPS_MUST_CHECK;

/* A CPS URL (PROTOCOL section 1): absolute https, DNS host of two labels or more, no userinfo,
 * query or fragment (not even an empty one), printable ASCII without space or backslash, port 443
 * unwritten, at most 2,048 bytes, in normal form unless rules->any_form. STICPS_ERR_URL, the text
 * naming the fault and, where there is one, the normal form to use instead. */
enum sticps_err cps_url_check(const char *text, size_t len, const struct url_rules *rules,
                              struct sticps_error *err) STICPS_MUST_CHECK;

/* An x5u (section 4): https, port 443 or 8443, no userinfo, query or fragment; same host rules. */
enum sticps_err x5u_check(const char *text, size_t len, bool lab,
                          struct sticps_error *err) STICPS_MUST_CHECK;

/* "host:port" in lower case, by which connections to it are one peer. False when the host is longer
 * than a name can be. */
#define URL_PEER_NAME_SIZE (253 + sizeof(":65535"))
bool url_peer_name(const struct url *url, char out[URL_PEER_NAME_SIZE]) STICPS_MUST_CHECK;

/* Do two URLs name the same host? Case folded, port not compared. */
bool url_same_host(const struct url *a, const struct url *b);

#endif

/* The configuration of sticps-cpsd: one YAML file, read by a schema that refuses unknown keys. Read
 * at the start, and on SIGHUP into another struct config; each is constant.
 *
 * Called by main. Never opens a socket. */
#ifndef SERVER_CPS_CONFIG_H
#define SERVER_CPS_CONFIG_H

#include "common/error.h"
#include "common/passport.h"
#include "common/spc.h"
#include "server/cps/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config_strings {
    char **items;
    unsigned count;
};

struct config_tls {
    char *certificate; /* file names, as all below: relative ones start at the configuration file */
    char *key;
};

struct config {
    struct config_strings listen; /* host:port */
    struct config_tls tls;
    struct {
        struct config_strings listen;
        struct config_tls tls; /* the public one's when not given */
        char *token;           /* what is in token_file, or NULL */
        char *metrics_token;   /* opens /metrics and nothing else; NULL: `token` does */
        char *client_ca;       /* or NULL; one of the two is there */
    } private_side;
    unsigned threads; /* 0: one per processor */
    struct spc *spcs;
    size_t spcs_len;
    struct {
        char *bundle;    /* either this */
        char *url;       /* or a CA list: its URL, */
        char *anchor;    /* whose signer the list must have, */
        char *state;     /* the folder that keeps the last good list, or NULL, */
        unsigned period; /* and seconds between two fetches */
    } anchors;
    struct {
        char *file;   /* the STI-PA's CRL, or NULL */
        char *signer; /* who may sign it */
    } crl;
    char *tls_ca;                /* further roots for fetching x5u and CA list, or NULL */
    struct passport_rules rules; /* freshness, default country, lab */
    struct store_settings store;
    unsigned x5u_deadline_ms;
    unsigned x5u_max_pending;              /* fetches under way, in all */
    unsigned max_connections;              /* 0: the server's default */
    unsigned max_per_address;              /* 0: the server's default */
    unsigned requests_per_second;          /* of one address, on the public listener; 0: no limit */
    unsigned requests_burst;               /* at once; 0: twice the above */
    struct config_strings trusted_proxies; /* networks; those say whose request it is */
    bool proxy_protocol;                   /* and begin with a PROXY line */
    bool access_log;
    char *fixed; /* all that only a restart can change, as text; for config_check_reload */
    size_t fixed_len;
};

/* STICPS_ERR_FILE, STICPS_ERR_USAGE; `where` is the file, the text names the key. On success the
 * caller owns *out (config_free). */
enum sticps_err config_load(const char *path, struct config **out,
                            struct sticps_error *err) STICPS_MUST_CHECK;
void config_free(struct config *config); /* accepts NULL */

/* Whether `fresh` may take the place of `old` while the daemon runs: only spcs, limits, log and
 * what the two token files hold may differ. STICPS_ERR_USAGE, the text naming the first key that
 * needs a restart. */
enum sticps_err config_check_reload(const struct config *old, const struct config *fresh,
                                    struct sticps_error *err) STICPS_MUST_CHECK;

#endif

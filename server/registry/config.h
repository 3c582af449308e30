/* The configuration file of sticps-registryd: YAML by one schema (config.c). An unknown key, a
 * missing key and a value out of range are errors. Relative paths are relative to the file. Read
 * at the start, and on SIGHUP into another struct config; each is constant. */
#ifndef REGISTRY_CONFIG_H
#define REGISTRY_CONFIG_H

#include "common/error.h"
#include "common/url.h"

#include <stdbool.h>
#include <stdint.h>

enum config_switch { CONFIG_UNSET, CONFIG_ON, CONFIG_OFF };

struct config_tls {
    char *certificate; /* PEM, leaf first */
    char *key;
};

struct config_database {
    /* libpq's; may hold a password: never logged. For the requests, the publisher, `audit verify`
     * and `init`; the last three are NULL when not given: then the first counts. */
    char *url, *publisher_url, *auditor_url, *owner_url;
    unsigned connections;                   /* per thread */
    enum config_switch transaction_pooling; /* url leads to PgBouncer with pool_mode transaction */
};

struct config_signer {
    unsigned id;    /* the n of certificateId_{n}.crt */
    char *key;      /* a PEM file, or the pkcs11: URI of a key in an HSM, which holds no secret */
    char *module;   /* the HSM's PKCS#11 library; NULL for a PEM file */
    char *pin_file; /* its first line is the HSM's PIN; or NULL */
    char *certificate; /* PEM chain, leaf first */
};

/* A list that loses more than both against the last one waits for a person. */
struct config_brake {
    unsigned entries;
    unsigned percent; /* of the last list's entries */
};

struct config_list {
    unsigned lifetime;            /* seconds from signing to exp */
    unsigned period;              /* seconds between publications when nothing changes */
    unsigned debounce_ms;         /* from the first change to the publication */
    enum config_switch is_public; /* off: a list needs a session */
    struct config_brake brake;
};

struct config_ca_list {
    char *directory;   /* of the approved STI-CAs' certificates; NULL: no such list is published */
    unsigned lifetime; /* as in config_list */
    unsigned period;
    struct config_brake brake;
};

struct config_export {
    char *directory; /* where every publication is written for a web server */
};

struct config_crl {
    char *file;   /* the STI-PA's CRL, DER or PEM */
    char *signer; /* PEM: who may have signed it; NULL: it is taken as it stands */
};

struct config_sti_proof {
    enum config_switch enabled;
    unsigned deadline_ms;        /* of fetching a certificate, in all */
    unsigned max_pending;        /* fetches under way, all threads together */
    unsigned fetches_per_second; /* that one address may cause, in the long run */
    unsigned proofs_per_second;  /* good ones of one SPC, in the long run */
};

/* Where the lists are seen as clients see them. */
struct config_witness {
    char **cps_list; /* URLs */
    unsigned cps_list_count;
    char **ca_list;
    unsigned ca_list_count;
    char *anchors; /* PEM, the roots by which clients know the lists' signers */
};

struct config_cps_url {
    uint16_t *ports; /* allowed in a CPS URL beside 443 */
    unsigned ports_count;
};

enum config_policy {
    CONFIG_CHECK_UNSET,
    CONFIG_CHECK_OFF,
    CONFIG_CHECK_WARN,
    CONFIG_CHECK_REQUIRE
};

struct config_cps_check {
    enum config_policy policy; /* what follows when a CPS does not answer */
    unsigned timeout_ms;       /* of one check, in all */
};

struct config_session {
    unsigned access_lifetime;  /* seconds */
    unsigned refresh_lifetime; /* seconds */
};

struct config_limits {
    unsigned connections; /* open, in all; 0: the server's default */
    unsigned per_address;
    unsigned requests_per_second; /* of one address; 0: no limit */
    unsigned requests_burst;      /* at once; 0: twice the above */
    unsigned writes_per_second;   /* of the entries of one SP; 0: no limit */
    unsigned writes_burst;
};

struct config_proxy {
    char **trusted; /* addresses and networks of proxies that say whose request it is */
    unsigned trusted_count;
    enum config_switch protocol; /* they begin with a PROXY line */
};

struct config_log {
    enum config_switch access; /* a line per request */
};

struct config {
    char **listen; /* "host:port" */
    unsigned listen_count;
    unsigned threads; /* 0: one per processor */
    struct config_tls tls;
    char *tls_ca; /* a further TLS root for outgoing connections, or NULL */
    struct config_database database;
    char *base_url; /* public, https, without a slash at the end */
    struct config_signer signer;
    struct config_signer *next_signer; /* published, does not sign yet; or NULL */
    struct config_list list;
    struct config_ca_list ca_list;
    struct config_crl *crl;         /* NULL: none is served */
    struct config_export *export;   /* NULL: none is made */
    char *state;                    /* directory of the newest lists seen; NULL: none is kept */
    struct config_witness *witness; /* NULL: there is none */
    struct config_sti_proof sti_proof;
    struct config_cps_url cps_url;
    struct config_cps_check cps_check;
    enum config_switch lab; /* loopback and private addresses, any port; never in production */
    struct config_session session;
    struct config_limits limits;
    struct config_proxy proxy;
    struct config_log log;
};

/* Reads and judges one file; the files that it names are judged by whoever opens them.
 * STICPS_ERR_FILE when it cannot be read, STICPS_ERR_USAGE for its content, the text naming key and
 * line. The caller owns *out (config_free). */
enum sticps_err config_load(const char *path, struct config **out,
                            struct sticps_error *err) STICPS_MUST_CHECK;
void config_free(struct config *config); /* accepts NULL */

/* Whether `fresh` may take the place of `old` while the daemon runs: only session, limits, log,
 * cps_check and the members of list and ca_list may differ. STICPS_ERR_USAGE, the text naming the
 * first key that needs a restart. */
enum sticps_err config_check_reload(const struct config *old, const struct config *fresh,
                                    struct sticps_error *err) STICPS_MUST_CHECK;

/* The rules for CPS URLs that the configuration makes; borrows from it. */
struct url_rules config_url_rules(const struct config *config);

#endif

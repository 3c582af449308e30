/* The configuration file as libcyaml reads it, before defaults and checks: every optional value is
 * a pointer, NULL when it is not there, so that a 0 that was written is not taken for one that was
 * not. Between config.c and config_schema.c only. */
#ifndef SERVER_CPS_CONFIG_SCHEMA_H
#define SERVER_CPS_CONFIG_SCHEMA_H

#include "common/error.h"
#include "server/cps/config.h"

#include <stddef.h>
#include <stdint.h>

enum raw_truth { RAW_FALSE, RAW_TRUE };

struct raw_tls {
    char *certificate, *key;
};

struct raw_private {
    struct config_strings listen;
    struct raw_tls *tls;
    char *token_file, *metrics_token_file, *client_ca;
};

struct raw_ca_list {
    char *url, *anchor, *state;
    uint32_t *period;
};

struct raw_crl {
    char *file, *signer;
};

struct raw_anchors {
    char *bundle;
    struct raw_ca_list *ca_list;
};

struct raw_freshness {
    uint32_t *max_age, *max_ahead;
};

struct raw_store {
    uint64_t *max_entries, *max_bytes;
};

struct raw_x5u {
    uint32_t *deadline_ms, *max_pending;
};

struct raw_limits {
    uint32_t *connections, *per_address, *requests_per_second, *requests_burst;
};

struct raw_proxy {
    struct config_strings trusted;
    enum raw_truth *protocol;
};

struct raw_log {
    enum raw_truth *access;
};

struct raw_config {
    struct config_strings listen;
    uint32_t *threads;
    struct raw_tls *tls;
    struct raw_private *private_side;
    struct config_strings spcs;
    struct raw_anchors *anchors;
    struct raw_crl *crl;
    enum raw_truth *lab;
    char *tls_ca;
    uint32_t *default_country;
    struct raw_freshness *freshness;
    struct raw_store *store;
    struct raw_x5u *x5u;
    struct raw_limits *limits;
    struct raw_proxy *proxy;
    struct raw_log *log;
};

/* STICPS_ERR_FILE, STICPS_ERR_USAGE. */
enum sticps_err raw_config_load(const char *path, struct raw_config **out,
                                struct sticps_error *err) STICPS_MUST_CHECK;
/* What of it a reload may not change, as libcyaml writes it: all but spcs, limits and log, so that
 * a key of tomorrow needs a restart until somebody thinks about it. The caller frees *text. */
enum sticps_err raw_config_fixed(const struct raw_config *raw, char **text, size_t *len,
                                 struct sticps_error *err) STICPS_MUST_CHECK;
void raw_config_free(struct raw_config *raw); /* accepts NULL */

#endif

/* The options of a client, as several commands take them. */
#ifndef CLI_CLIENT_OPTIONS_H
#define CLI_CLIENT_OPTIONS_H

#include "client/cli/cli.h"
#include "sticps/sticps.h"

#include <openssl/evp.h>

/* What the command line said; zero for what it did not. */
struct client_options {
    const char *state;
    const char *kind; /* "cps" or "ca" */
    const char *override;
    const char *tls_cert, *tls_key;
    const char *crl, *crl_signer;
    struct cli_texts anchors, tls_cas, x5u_hosts, ports, npdb;
    struct cli_texts list_urls, list_files; /* of `kind` */
    const char *enum_apex;
    struct cli_texts enum_servers;
    int64_t enum_deadline;
    bool enum_first;
    const char *sti_key, *sti_spc, *sti_x5u; /* sti_key.h */
    sticps_sign_fn *sti_sign;                /* in place of sti_key */
    void *sti_sign_ctx;
    EVP_PKEY *sti_hsm; /* the same, for what signs at once (provision) */
    sticps_log_fn *log;
    void *log_ctx;
    int64_t max_lifetime, grace, timeout_s, deadline_ms;
    bool lab, accept_shrink;
    bool rehearsal; /* nothing is written (doctor) */
};

/* Rows for a command's table. */
#define OPTION_STATE(o)                                                                  \
    {                                                                                    \
        "state", 0, CLI_TEXT, &(o)->state, "DIR", "folder of the held lists", true, 0, 0 \
    }
#define OPTION_ANCHOR(o)                                                                        \
    {                                                                                           \
        "anchor", 0, CLI_TEXTS, &(o)->anchors, "PEM", "STI-PA certificate to trust", true, 0, 0 \
    }
#define OPTION_KIND(o)                                                             \
    {                                                                              \
        "kind", 0, CLI_TEXT, &(o)->kind, "cps|ca", "which list (cps)", false, 0, 0 \
    }
#define OPTION_TLS_CA(o)                                                                   \
    {                                                                                      \
        "tls-ca", 0, CLI_TEXTS, &(o)->tls_cas, "PEM", "further roots for TLS", false, 0, 0 \
    }
#define OPTION_LAB(o)                                                                            \
    {                                                                                            \
        "lab", 0, CLI_FLAG, &(o)->lab, NULL, "open loopback, private addresses and other ports", \
            false, 0, 0                                                                          \
    }
#define OPTION_NPDB(o)                                                           \
    {                                                                            \
        "npdb", 0, CLI_TEXTS, &(o)->npdb, "FILE", "portability file", true, 0, 0 \
    }
#define OPTION_OVERRIDE(o)                                                                         \
    {                                                                                              \
        "override", 0, CLI_TEXT, &(o)->override, "CSV", "codes to use for others, FROM,TO", false, \
            0, 0                                                                                   \
    }
#define OPTION_GRACE(o)                                                                          \
    {                                                                                            \
        "grace", 0, CLI_INTEGER, &(o)->grace, "S", "serve an expired list for S seconds, stale", \
            false, 0, 315360000                                                                  \
    }
#define OPTION_ENUM(o)                                                                            \
    {"enum-apex", 0, CLI_TEXT, &(o)->enum_apex, "NAME", "DNS domain that numbers are under",      \
     false,       0, 0},                                                                          \
        {"enum-server", 0, CLI_TEXTS, &(o)->enum_servers, "IP[:PORT]", "to ask (resolv.conf's)",  \
         false,         0, 0},                                                                    \
        {"enum-deadline", 0, CLI_INTEGER, &(o)->enum_deadline, "MS", "for its answer (100)",      \
         false,           1, 60000},                                                              \
    {                                                                                             \
        "enum-first", 0, CLI_FLAG, &(o)->enum_first, NULL, "ask it before the portability files", \
            false, 0, 0                                                                           \
    }
/* Where a list comes from, and what is allowed of it. */
#define OPTION_LIST(o)                                                                            \
    {"url", 0, CLI_TEXTS, &(o)->list_urls, "URL", "of the list, either form", false, 0, 0},       \
        {"file", 0, CLI_TEXTS, &(o)->list_files, "FILE", "a copy, where no URL gives one",        \
         false,  0, 0},                                                                           \
        {"x5u-host", 0, CLI_TEXTS, &(o)->x5u_hosts, "HOST", "where its certificate may be",       \
         false,      0, 0},                                                                       \
        {"max-lifetime", 0, CLI_INTEGER, &(o)->max_lifetime, "S", "exp at most S ahead (604800)", \
         false,          1, 315360000},                                                           \
        {"allow-port", 0, CLI_TEXTS, &(o)->ports, "N", "port for CPS URLs besides 443",           \
         false,        0, 0},                                                                     \
        {"accept-shrink", 0, CLI_FLAG, &(o)->accept_shrink, NULL, "many entries may be gone",     \
         false,           0, 0},                                                                  \
    {                                                                                             \
        "timeout", 0, CLI_INTEGER, &(o)->timeout_s, "S", "total, with the certificate (30)",      \
            false, 1, 3600                                                                        \
    }
#define OPTION_CRL(o)                                                                           \
    {"crl", 0, CLI_TEXT, &(o)->crl, "FILE", "revoked certificates, DER or PEM", false, 0, 0},   \
    {                                                                                           \
        "crl-signer", 0, CLI_TEXT, &(o)->crl_signer, "PEM", "who may sign the CRL", false, 0, 0 \
    }
#define OPTION_END                                       \
    {                                                    \
        NULL, 0, CLI_FLAG, NULL, NULL, NULL, false, 0, 0 \
    }

/* Makes a client of them, with the portability files. Warns on standard error when --lab is on. */
enum sticps_err client_from_options(const struct client_options *options,
                                    struct sticps_client **out,
                                    struct sticps_error *err) STICPS_MUST_CHECK;

/* A sticps_log_fn: tells on standard error of a source that failed, whether or not another
 * satisfies; nothing else. */
void client_warn_of_source(void *ctx, enum sticps_log_level level, int event, enum sticps_err code,
                           const char *where, const char *text);

/* STICPS_ERR_USAGE for another word than cps and ca. */
enum sticps_err client_list_kind(const struct client_options *options, enum sticps_list_kind *out,
                                 struct sticps_error *err) STICPS_MUST_CHECK;

#endif

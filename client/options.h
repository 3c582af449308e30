/* The public options, and the copy of them that a client keeps. Written by the setters only;
 * immutable once a client has its copy. */
#ifndef CLIENT_OPTIONS_H
#define CLIENT_OPTIONS_H

#include "client/override.h"
#include "common/clock.h"
#include "common/spc.h"
#include "sticps/numbers.h"
#include "sticps/refresh.h"
#include "sticps/signing.h"

#include <openssl/evp.h>

/* NUL-terminated texts (or bytes) that an option was given, in order. */
struct text_list {
    struct text {
        char *data;
        size_t len;
        char *path; /* of the file that it was read from, or NULL */
    } * items;
    size_t len;
};

/* The sources of numbers, in the order of the options; files that are not among them come first. */
enum number_kind { NUMBERS_NPDB, NUMBERS_ENUM, NUMBERS_DIP, NUMBER_KINDS };

#define ENUM_DEADLINE_MS 100
#define ENUM_DEADLINE_MAX_MS 60000
#define ENUM_CACHED 65536
#define ENUM_CACHED_MAX (1 << 24)
#define ENUM_SERVERS_MAX 8
#define ENUM_APEX_SIZE 201 /* leaves room for fifteen digits before it */

/* With NUMBERS_ENUM. */
struct enum_options {
    char apex[ENUM_APEX_SIZE]; /* lower case, without a dot at the end */
    struct enum_server {
        int family; /* AF_INET, AF_INET6 */
        unsigned char address[16];
        uint16_t port;
    } servers[ENUM_SERVERS_MAX];
    size_t servers_len; /* 0: those of /etc/resolv.conf */
    unsigned deadline_ms;
    unsigned cached; /* entries */
};

struct sticps_options {
    struct text_list anchors;   /* PEM or DER, each known to parse */
    struct text_list tls_cas;   /* the same */
    struct text_list x5u_hosts; /* names */
    struct text_list crl_signers;
    struct text_list list_urls[2], list_files[2]; /* by enum sticps_list_kind; each URL parses */
    char *crl_file;                               /* NULL: revocation is not asked about */
    char *state_dir;                              /* NULL: in memory */
    char *tls_cert, *tls_key;                     /* paths, NULL for none */
    uint16_t *ports;
    size_t ports_len;
    bool lab;
    bool accept_shrink;
    bool rehearsal; /* of the command's doctor: the state is read and judged by, never written */
    size_t shrink_entries;
    unsigned shrink_percent;
    int64_t max_lifetime; /* seconds */
    int64_t grace;        /* seconds */
    unsigned default_country;
    unsigned list_timeout, x5u_timeout, deliver_timeout; /* milliseconds */
    unsigned deliver_queue, deliver_per_cps;             /* under way at once */
    struct override_table *overrides;                    /* NULL for none */
    struct spc sti_spc;       /* of the sender; with the two below, when one of them is set */
    char *sti_x5u;            /* where its STI certificate is */
    EVP_PKEY *sti_key;        /* NULL: none, or the host signs */
    sticps_sign_fn *sti_sign; /* NULL: none, or the key is here */
    void *sti_sign_ctx;
    enum number_kind number_kinds[NUMBER_KINDS];
    size_t number_kinds_len;
    struct enum_options enumeration;
    sticps_dip_fn *dip; /* with NUMBERS_DIP */
    void *dip_ctx;
    struct clock clock;
    sticps_log_fn *log; /* NULL: none */
    void *log_ctx;
};

/* Is it among the sources of numbers? */
bool options_name(const struct sticps_options *options, enum number_kind kind);

#define LIST_SOURCES_MAX 64 /* URLs, and files, for one list */

/* STICPS_ERR_USAGE unless it is an absolute https URL. */
enum sticps_err list_url_check(const char *url, struct sticps_error *err) STICPS_MUST_CHECK;

/* A deep copy, or NULL when out of memory. */
struct sticps_options *options_copy(const struct sticps_options *options);

#endif

/* The configuration of sticps-agent: one YAML file, read by a schema that refuses unknown keys.
 * Read at the start, and on SIGHUP into another struct agent_config; each is constant.
 *
 * Called by main, daemon and reload. Opens no socket and reads no other file. */
#ifndef SERVER_AGENT_CONFIG_H
#define SERVER_AGENT_CONFIG_H

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

struct agent_strings {
    char **items;
    unsigned count;
};

enum agent_truth { AGENT_NO, AGENT_YES };

struct agent_ports {
    uint16_t *items;
    unsigned count;
};

struct agent_socket { /* of the listening addresses "unix:" */
    char *mode;       /* octal, or NULL: 0660 */
    char *group;      /* or NULL: the process's own */
};

struct agent_crl { /* both or neither */
    char *file, *signer;
};

struct agent_list {
    struct agent_strings urls, files; /* none: another process fetches it into `state` */
    struct agent_strings anchors;     /* who may sign it */
    char *state;                      /* the folder that keeps the last good list */
    uint32_t period;                  /* seconds between two refreshes */
    uint32_t timeout_ms;
    uint32_t max_lifetime, grace; /* seconds */
    struct agent_strings x5u_hosts;
    struct agent_ports ports; /* of CPS URLs, besides 443 */
    struct agent_crl crl;
};

struct agent_enum { /* none without an apex */
    char *apex;
    struct agent_strings servers;
    uint32_t deadline_ms, cache; /* cache: entries */
    enum agent_truth first;      /* before the portability files */
};

struct agent_delivery {
    uint32_t deadline_ms;    /* 0: the library's default, as the others */
    uint32_t queue, per_cps; /* under way at once, in all and to one CPS */
};

struct agent_sti { /* all or none: the key that signs request tokens, for CPSs that demand them */
    char *key, *spc, *x5u;
};

struct agent_limits {
    uint32_t connections;
};

struct agent_log {
    enum agent_truth access, deliveries;
};

/* As libcyaml fills it in: 0, NULL and nothing for what is not there, until the defaults take the
 * place of numbers that are 0. File names start at the file's folder. */
struct agent_config {
    struct agent_strings listen; /* "unix:/path", "127.0.0.1:port" */
    enum agent_truth allow_remote;
    struct agent_socket socket;
    uint32_t threads;
    struct agent_list list;
    struct agent_strings npdb; /* in the order in which they are asked */
    struct agent_enum enumeration;
    char *override;
    struct agent_delivery delivery;
    struct agent_sti sti;
    struct agent_strings tls_ca;
    uint32_t *default_country; /* NULL: 1 */
    enum agent_truth lab;
    struct agent_limits limits;
    struct agent_log log;
};

struct agent_flags;

/* The file at `path` (NULL: none), `flags` laid over it. STICPS_ERR_FILE, STICPS_ERR_USAGE; `where`
 * is the file, the text names the key. On success the caller owns *out (agent_config_free). */
enum sticps_err agent_config_load(const char *path, const struct agent_flags *flags,
                                  struct agent_config **out,
                                  struct sticps_error *err) STICPS_MUST_CHECK;
void agent_config_free(struct agent_config *config); /* accepts NULL */

/* Whether the list has a source of its own. */
bool agent_config_fetches(const struct agent_config *config);
unsigned agent_config_country(const struct agent_config *config);
unsigned agent_config_socket_mode(const struct agent_config *config);

#endif

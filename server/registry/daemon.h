/* What the parts of a running sticps-registryd share. Made by main, constant while it serves; the
 * things pointed to say themselves which threads may use them. */
#ifndef REGISTRY_DAEMON_H
#define REGISTRY_DAEMON_H

#include "common/clock.h"
#include "common/url.h"
#include "server/http/timer.h"
#include "server/registry/node_stats.h"
#include "server/registry/config.h"
#include "server/registry/proof_desk.h"
#include "server/registry/published_list.h"
#include "server/registry/signer.h"

#include <stdbool.h>

struct checker;
struct crl_file;
struct db_pool;
struct exporter;
struct list_board;
struct publisher;
struct rate;
struct reload;
struct request;
struct server;
struct server_thread;
struct sequence_floor;
struct sessions;
struct token_cache;
struct witness;
struct worker_pool;

struct daemon {
    const struct clock *clock;
    const struct config *_Atomic config; /* what is in force; replaced by a reload */
    const struct signer *signer;
    const struct signer *next_signer; /* NULL when none is configured */
    struct url_rules url_rules;
    struct sessions *sessions;
    struct worker_pool *workers;
    struct list_board *board;
    struct crl_file *crl; /* NULL when none is configured */
    struct checker *checker;
    struct sequence_floor *floor;
    struct witness *witness; /* NULL when none is configured */
    struct publisher *publisher;
    struct proof_service *proofs; /* NULL: no proof by STI certificate is taken */
    struct exporter *exporter;    /* NULL when none is configured */
    struct server *server;
    struct reload *reload;
    struct rate *writes; /* of entries, by SP */
    struct node *nodes;  /* one per server thread, by its index */
};

/* What one server thread owns: server_thread_state(). Only that thread touches it while it runs;
 * the memory outlives the thread, because a message to it may come late. */
struct node {
    struct daemon *daemon;
    struct server_thread *thread;
    struct db_pool *pool;
    struct token_cache *tokens;
    struct published_list *lists[LIST_KINDS]; /* references; read by list_board_current() alone */
    bool left;                                /* takes no lists any more */
    struct node_stats stats;                  /* for metrics, any thread */
    struct proof_desk proofs;                 /* not open when the daemon has no proofs */
    struct timer second; /* copies the pool's state there; takes over STI-CAs and CRL */
};

/* The node that a request is on. */
struct node *node_of(struct request *request);

/* What -t checks, and what every start checks again: the signer, the TLS files. Nothing is opened
 * that others see. */
enum sticps_err daemon_check(const struct config *config,
                             struct sticps_error *err) STICPS_MUST_CHECK;

/* Serves until SIGTERM or SIGINT, then drains. SIGHUP reads the configuration at `path`, the TLS
 * files (reload.h) and the directory of STI-CAs again. STICPS_ERR_STATE
 * when the database has another schema; a database that cannot be reached is waited for. */
enum sticps_err daemon_run(const char *path, const struct config *config,
                           struct sticps_error *err) STICPS_MUST_CHECK;

#endif

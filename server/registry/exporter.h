/* The static export: a thread that keeps export.directory as a web server or a CDN would serve it,
 * so that lists are fetched although every registry node is away. Layout (sticps-registryd(8)):
 *
 *     download/v1/cps-list/latest[.gz]      api/v1/cps-list[.gz]       the newest
 *     download/v1/cps-list/{sequence}                                  every one
 *     download/v1/certificate/certificateId_{n}.crt                    every one
 *     download/v1/crl                       and the same for ca-list
 *
 * It takes committed lists from the board and earlier ones from the database, over a connection of
 * its own, and never delays or harms publication: a failure is retried, and told in the log, the
 * metrics and /ready. Certificates and the numbered file come before "latest" names a list; latest
 * never goes back. */
#ifndef REGISTRY_EXPORTER_H
#define REGISTRY_EXPORTER_H

#include "common/error.h"
#include "server/registry/published_list.h"

#include <stdint.h>

struct config;
struct daemon;
struct exporter;

struct exporter_status {
    int64_t sequence[LIST_KINDS]; /* what "latest" of each kind is; 0: none yet */
    char trouble[512];            /* "" when all is well */
};

/* Can it be written to? STICPS_ERR_FILE. For -t; a start goes on without. */
enum sticps_err exporter_check(const struct config *config,
                               struct sticps_error *err) STICPS_MUST_CHECK;

/* `daemon` is borrowed until exporter_stop: its clock, config, board, signers and CRL are used. */
enum sticps_err exporter_start(struct daemon *daemon, struct exporter **out,
                               struct sticps_error *err) STICPS_MUST_CHECK;
/* Ends the thread, after the file in hand. Accepts NULL. */
void exporter_stop(struct exporter *exporter);

/* Any thread; takes a lock. */
void exporter_status(struct exporter *exporter, struct exporter_status *out);

#endif

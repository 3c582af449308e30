/* What the commands need that judge STI certificates: whom to trust, who is revoked, and the chain
 * of an x5u. */
#ifndef CLI_STI_H
#define CLI_STI_H

#include "client/cli/client_options.h"
#include "common/cert.h"

/* The STI-CAs of `files` (PEM), and with `ca_list` those of the client's held list of STI-CAs,
 * which must not have expired at `now`. The caller frees *out. */
enum sticps_err sti_anchors(const struct cli_texts *files, bool ca_list,
                            struct sticps_client *client, int64_t now, struct anchors **out,
                            struct sticps_error *err) STICPS_MUST_CHECK;

/* The CRL of --crl, signed by --crl-signer: the STI-PA is no STI-CA, so it is named. *out stays
 * NULL without --crl. */
enum sticps_err sti_crl(const struct client_options *options, int64_t now, struct crl **out,
                        struct sticps_error *err) STICPS_MUST_CHECK;

/* Fetches the chain of an x5u, waiting. The caller's reference. *cached (NULL: never mind): it came
 * from the state directory. */
enum sticps_err sti_fetch_chain(struct sticps_client *client, const char *x5u,
                                struct cert_chain **out, bool *cached,
                                struct sticps_error *err) STICPS_MUST_CHECK;

#endif

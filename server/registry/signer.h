/* The key that signs the lists, its certificate chain and the x5u that names it. Loaded once at the
 * start, immutable from then on; the daemon does not run without it. Callers: main, publisher,
 * list_routes. */
#ifndef REGISTRY_SIGNER_H
#define REGISTRY_SIGNER_H

#include "common/cert.h"
#include "common/error.h"
#include "server/registry/config.h"

#include <openssl/evp.h>
#include <stdint.h>

struct signer {
    unsigned id;
    EVP_PKEY *key; /* of the certificate; signs, or has the HSM sign (common/hsm) */
    struct cert_chain *chain;
    char *x5u;       /* base_url/download/v1/certificate/certificateId_{id}.crt */
    char *file_name; /* certificateId_{id}.crt */
};

/* `which`: signer or next_signer of `config`. A key in an HSM is reached, logged in to, and signs
 * once; later it signs on the publisher's thread alone. STICPS_ERR_FILE, STICPS_ERR_SIGNER,
 * STICPS_ERR_CRYPTO (an HSM) or STICPS_ERR_USAGE when the key is not on P-256, the certificate is
 * not for this key, would be refused by a client as a list signer (PROTOCOL section 2, rule 4) at
 * `now`, or the x5u breaks section 4. The caller owns *out (signer_free). */
enum sticps_err signer_load(const struct config *config, const struct config_signer *which,
                            int64_t now, struct signer **out,
                            struct sticps_error *err) STICPS_MUST_CHECK;
void signer_free(struct signer *signer); /* accepts NULL */

#endif

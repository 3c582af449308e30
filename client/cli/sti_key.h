/* The STI key of --sti-key: a PEM file, or a key in an HSM by its PKCS#11 URI. */
#ifndef CLI_STI_KEY_H
#define CLI_STI_KEY_H

#include "client/cli/client_options.h"

#include <openssl/evp.h>

struct sti_key {
    const char *key, *spc, *x5u;          /* --sti-key, --sti-spc, --sti-x5u */
    const char *cert, *module, *pin_file; /* of a key in an HSM */
    EVP_PKEY *hsm;                        /* what signs there; NULL for PEM */
};

/* Rows for a command's table. */
#define OPTION_STI_KEY(k)                                                                       \
    {"sti-key", 0, CLI_TEXT, &(k)->key, "KEY", "PEM or pkcs11: URI, where a CPS wants a token", \
     false,     0, 0},                                                                          \
        {"sti-spc", 0, CLI_TEXT, &(k)->spc, "SPC", "of the STI certificate", false, 0, 0},      \
        {"sti-x5u", 0, CLI_TEXT, &(k)->x5u, "URL", "where that certificate is", false, 0, 0},   \
        {"sti-cert", 0, CLI_TEXT, &(k)->cert, "PEM", "it, for a key in an HSM", false, 0, 0},   \
        {"module", 0, CLI_TEXT, &(k)->module, "SO", "the HSM's PKCS#11 library", false, 0, 0},  \
    {                                                                                           \
        "pin-file", 0, CLI_TEXT, &(k)->pin_file, "FILE", "the HSM's user PIN", false, 0, 0      \
    }

/* Puts the key into `options`, which then name `key` until the client made with them is freed.
 * Without --sti-key nothing is done. STICPS_ERR_USAGE, STICPS_ERR_FILE, STICPS_ERR_CRYPTO. */
enum sticps_err sti_key_open(struct sti_key *key, struct client_options *options,
                             struct sticps_error *err) STICPS_MUST_CHECK;
/* Only reaches a key in an HSM, whose URI `key->key` is: key->hsm. */
enum sticps_err sti_key_load(struct sti_key *key, struct sticps_error *err) STICPS_MUST_CHECK;
void sti_key_close(struct sti_key *key);

#endif

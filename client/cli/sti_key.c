#include "client/cli/sti_key.h"

#include "common/cert.h"
#include "common/es256.h"
#include "common/hsm/hsm_key.h"

#include <stdio.h>

/* In the loop's thread, which has nothing else to do in a command. */
static void sign(void *ctx, struct sticps_signing *signing)
{
    const struct sti_key *key = ctx;
    unsigned char raw[ES256_SIGNATURE];
    struct sticps_error err = {0};
    enum sticps_err code = es256_sign(key->hsm, sticps_signing_digest(signing), raw, &err);
    if (code != STICPS_OK)
        fprintf(stderr, "sticps: warning: %s: %s\n", sticps_err_name(code), err.text);
    sticps_signing_done(signing, code == STICPS_OK ? raw : NULL);
}

/* The certificate has the public half, with which the HSM's is compared. */
enum sticps_err sti_key_load(struct sti_key *key, struct sticps_error *err)
{
    struct cert_chain *chain = NULL;
    const struct hsm_source source = {key->key, key->module, key->pin_file};
    if (key->cert == NULL || key->module == NULL)
        return fail(err, STICPS_ERR_USAGE, NULL,
                    "a key in an HSM goes with its certificate (PEM) and --module");
    enum sticps_err code = cert_chain_load(key->cert, &chain, err);
    if (code == STICPS_OK)
        code = hsm_key_load(&source, cert_chain_key(chain), &key->hsm, err);
    cert_chain_unref(chain);
    return code;
}

enum sticps_err sti_key_open(struct sti_key *key, struct client_options *options,
                             struct sticps_error *err)
{
    bool others = key->spc != NULL || key->x5u != NULL || key->cert != NULL ||
                  key->module != NULL || key->pin_file != NULL;
    if (key->key == NULL && others)
        return fail(err, STICPS_ERR_USAGE, "--sti-key", "the other options of it need it");
    if (key->key == NULL)
        return STICPS_OK;
    if (key->spc == NULL || key->x5u == NULL)
        return fail(err, STICPS_ERR_USAGE, "--sti-key", "it goes with --sti-spc and --sti-x5u");
    options->sti_spc = key->spc;
    options->sti_x5u = key->x5u;
    if (!hsm_is_uri(key->key)) {
        options->sti_key = key->key;
        return STICPS_OK;
    }
    enum sticps_err code = sti_key_load(key, err);
    options->sti_sign = code == STICPS_OK ? sign : NULL;
    options->sti_sign_ctx = key;
    return code;
}

void sti_key_close(struct sti_key *key)
{
    EVP_PKEY_free(key->hsm);
    key->hsm = NULL;
}

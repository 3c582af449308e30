#include "server/registry/signer.h"

#include "common/hsm/hsm_key.h"
#include "common/key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The private half of the certificate's key, from wherever it is. */
static enum sticps_err load_key(struct signer *signer, const struct config_signer *which,
                                struct sticps_error *err)
{
    const struct hsm_source source = {
        .uri = which->key, .module = which->module, .pin_file = which->pin_file};
    EVP_PKEY *public = cert_chain_key(signer->chain);
    enum sticps_err rc;

    if (hsm_is_uri(which->key)) {
        rc = hsm_key_load(&source, public, &signer->key, err);
        if (rc != STICPS_OK)
            fail_context(err, "signer id %u, key in an HSM", which->id);
        return rc;
    }
    rc = key_load(which->key, &signer->key, err);
    if (rc != STICPS_OK)
        fail_context(err, "the signer's key %s", which->key);
    else if (EVP_PKEY_eq(public, signer->key) != 1)
        rc = fail(err, STICPS_ERR_SIGNER, which->certificate,
                  "%s: the certificate does not belong to its key", which->certificate);
    return rc;
}

/* The leaf's own must-haves: with its own chain for anchors, whether a client's anchor stands above
 * it is left to the clients. */
static enum sticps_err check_certificate(const struct signer *signer, const char *path, int64_t now,
                                         struct sticps_error *err)
{
    const char *pem = cert_chain_pem(signer->chain);
    struct anchors *anchors = NULL;
    enum sticps_err rc;

    rc = anchors_new(&anchors, err);
    if (rc == STICPS_OK)
        rc = anchors_add(anchors, pem, strlen(pem), STICPS_ERR_SIGNER, err);
    if (rc == STICPS_OK)
        rc = list_signer_check(signer->chain, anchors, NULL, now, NULL, err);
    if (rc != STICPS_OK)
        fail_context(err, "%s: not a list signer", path);
    anchors_free(anchors);
    return rc;
}

enum sticps_err signer_load(const struct config *config, const struct config_signer *which,
                            int64_t now, struct signer **out, struct sticps_error *err)
{
    struct signer *signer = calloc(1, sizeof(*signer));
    enum sticps_err rc;

    if (signer == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    signer->id = which->id;
    if (asprintf(&signer->file_name, "certificateId_%u.crt", signer->id) < 0 ||
        asprintf(&signer->x5u, "%s/download/v1/certificate/%s", config->base_url,
                 signer->file_name) < 0) {
        rc = fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
        goto cleanup;
    }
    rc = x5u_check(signer->x5u, strlen(signer->x5u), config->lab == CONFIG_ON, err);
    if (rc != STICPS_OK) {
        fail_context(err, "base_url makes an x5u that clients refuse");
        goto cleanup;
    }
    rc = cert_chain_load(which->certificate, &signer->chain, err);
    if (rc != STICPS_OK) {
        fail_context(err, "the signer's certificate %s", which->certificate);
        goto cleanup;
    }
    rc = check_certificate(signer, which->certificate, now, err);
    if (rc == STICPS_OK)
        rc = load_key(signer, which, err);
    if (rc != STICPS_OK)
        goto cleanup;
    *out = signer;
    signer = NULL;

cleanup:
    signer_free(signer);
    return rc;
}

void signer_free(struct signer *signer)
{
    if (signer == NULL)
        return;
    EVP_PKEY_free(signer->key);
    cert_chain_unref(signer->chain);
    free(signer->x5u);
    free(signer->file_name);
    free(signer);
}

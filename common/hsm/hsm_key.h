/* A P-256 key in an HSM, named by an RFC 7512 URI, reached by PKCS#11 through a vendor's module.
 *
 * To the rest of the program it is an EVP_PKEY (es256.h): the public half is that of the
 * certificate, the signatures come from the HSM, and each is checked against it. Signing may wait
 * for the device: never on an event loop, and one thread at a time for each key.
 *
 * Between signatures the session stays open. When the HSM does not answer as it should, the session
 * is closed and opened anew once; when that fails too, the next signature starts afresh, so a token
 * that comes back is used again by itself.
 *
 * The PIN is tried once: a token locks itself after a few wrong ones. After a refusal the same PIN
 * is never tried again by this key; a changed PIN file is. */
#ifndef COMMON_HSM_HSM_KEY_H
#define COMMON_HSM_HSM_KEY_H

#include "common/error.h"

#include <openssl/evp.h>
#include <stdbool.h>

struct hsm_source {
    const char *uri;      /* pkcs11:…, naming one private key of one token; holds no secret */
    const char *module;   /* the vendor's PKCS#11 library, a path */
    const char *pin_file; /* first line: the user PIN; NULL for a token that asks for none */
};

/* Is this the name of a key in an HSM, rather than of a file? */
bool hsm_is_uri(const char *text);

/* Reaches the key, and has it sign once to see that it is the private half of `public`; then the
 * session is closed until the first signature. Logs in once.
 *
 * STICPS_ERR_USAGE for a URI that cannot be used; STICPS_ERR_FILE for the module and the PIN file
 * (others can read it, or it is empty); STICPS_ERR_CRYPTO for the rest: no such token or key, more
 * than one, a wrong PIN, another key. No text holds the PIN, not even one that was put in the URI.
 * The caller owns *out (EVP_PKEY_free). Everything is copied. */
enum sticps_err hsm_key_load(const struct hsm_source *source, EVP_PKEY *public, EVP_PKEY **out,
                             struct sticps_error *err) STICPS_MUST_CHECK;

#endif

/* A token splits into exactly what encodes to it again, and nobody's signature is valid. */
#include "common/base64url.h"
#include "common/jws.h"
#include "tests/fuzz/target.h"

#include <openssl/ec.h>
#include <string.h>

static void encodes_to(const unsigned char *bytes, size_t len, const char **at)
{
    char *text = malloc(base64url_encoded_size(len) + 1);
    MUST(text != NULL);
    size_t chars = base64url_encode(bytes, len, text);
    MUST(memcmp(text, *at, chars) == 0);
    *at += chars + 1;
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static EVP_PKEY *key;
    struct jws jws;
    if (key == NULL)
        key = EVP_EC_gen("P-256");
    if (jws_split((const char *)data, len, STICPS_ERR_FORM, &jws, NULL) != STICPS_OK)
        return 0;
    const char *at = (const char *)data;
    encodes_to(jws.header, jws.header_len, &at);
    encodes_to(jws.payload, jws.payload_len, &at);
    encodes_to(jws.signature, jws.signature_len, &at);
    MUST(at == (const char *)data + len + 1);
    MUST(jws_verify(&jws, key, STICPS_ERR_SIGNATURE, NULL) == STICPS_ERR_SIGNATURE);
    jws_clear(&jws);
    return 0;
}

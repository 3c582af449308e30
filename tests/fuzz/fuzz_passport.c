/* The input as a token, and its two halves (a line break between) as header and payload of one.
 * What is accepted can be signed again and is then the same call. */
#include "common/base64url.h"
#include "common/passport.h"
#include "tests/fuzz/target.h"

#include <openssl/ec.h>
#include <string.h>

static void read_token(const char *text, size_t len)
{
    static const struct passport_rules rules = PASSPORT_RULES_DEFAULT;
    static EVP_PKEY *key;
    struct passport *p, *again;
    if (key == NULL)
        key = EVP_EC_gen("P-256");
    if (passport_parse(text, len, &rules, -1, &p, NULL) != STICPS_OK)
        return;
    const char attest[] = {p->attest, '\0'};
    struct passport_claims claims = {attest, p->dest,   p->dest_len, &p->orig,
                                     p->iat, p->origid, p->x5u};
    char *token;
    size_t token_len;
    enum sticps_err rc = passport_sign(&claims, false, key, &token, &token_len, NULL);
    if (rc == STICPS_OK) {
        MUST(passport_parse(token, token_len, &rules, p->iat, &again, NULL) == STICPS_OK);
        MUST(passport_same_call(p, again) && again->iat == p->iat);
        passport_free(again);
        free(token);
    } else { /* made longer by a country code per number, or from before 1970 */
        MUST(len > 10000 || p->iat < 0);
    }
    passport_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    read_token((const char *)data, len);
    const uint8_t *half = len == 0 ? NULL : memchr(data, '\n', len);
    if (half == NULL)
        return 0;
    size_t header_len = (size_t)(half - data), payload_len = len - header_len - 1;
    char *token = malloc(2 * len + 16);
    MUST(token != NULL);
    size_t at = base64url_encode(data, header_len, token);
    token[at++] = '.';
    at += base64url_encode(half + 1, payload_len, token + at);
    memcpy(token + at, ".QUFB", 5);
    read_token(token, at + 5);
    free(token);
    return 0;
}

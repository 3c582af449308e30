/* The input as a token, and its two halves (a line break between) as header and payload of one. A
 * token that is read is of the very request that it describes, and of no other. */
#include "common/base64url.h"
#include "common/request_token.h"
#include "tests/fuzz/target.h"

#include <stdio.h>
#include <string.h>

static void read_token(const char *text, size_t len)
{
    struct request_token *token;
    char base[1100], other[1024];
    (void)request_token_is_one(text, len);
    if (request_token_parse(text, len, false, &token, NULL) != REQUEST_TOKEN_GOOD)
        return;
    MUST(token->iat >= 0 && token->exp >= 0 && strlen(token->jti) <= REQUEST_TOKEN_MAX_JTI);
    snprintf(base, sizeof(base), "https://%.1024s", token->aud);
    struct request_facts facts = {
        .action = token->action, .base_url = base, .method = token->htm, .target = "/"};
    bool its_own = request_token_check(token, &facts, token->iat, NULL) == REQUEST_TOKEN_GOOD;
    MUST(!its_own || token->body == NULL || strlen(token->body) == 51);
    snprintf(other, sizeof(other), "%s.", token->htm);
    facts.method = other;
    MUST(request_token_check(token, &facts, token->iat, NULL) != REQUEST_TOKEN_GOOD);
    request_token_free(token);
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

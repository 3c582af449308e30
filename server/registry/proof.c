#include "server/registry/proof.h"

#include "common/json_write.h"
#include "common/request_token.h"
#include "server/http/log.h"
#include "server/http/pending.h"
#include "server/http/rate.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/http/router.h"
#include "server/registry/api.h"
#include "server/registry/credential.h"
#include "server/registry/daemon.h"
#include "server/registry/proof_desk.h"
#include "server/registry/write_rate.h"

#include <openssl/bn.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACTION "provision"
#define BODY_MAX (64 * 1024) /* as the routes allow; nothing longer is hashed */
#define MARGIN_MS 500        /* beyond the x5u's own deadline, which libsticps keeps */

static const struct problem CLOSED = {401, "PROOF_CLOSED"};
static const struct problem MALFORMED = {401, "PROOF_MALFORMED"};
static const struct problem ALGORITHM = {401, "PROOF_ALGORITHM"};
static const struct problem CLAIM = {401, "PROOF_CLAIM"};
static const struct problem MISMATCH = {401, "PROOF_MISMATCH"};
static const struct problem TIME = {401, "PROOF_TIME"};
static const struct problem X5U = {401, "PROOF_X5U"};
static const struct problem CERTIFICATE = {401, "PROOF_CERTIFICATE"};
static const struct problem SIGNATURE = {401, "PROOF_SIGNATURE"};

/* One proof on its way. */
struct proof {
    struct credential_wait wait; /* first */
    struct proof_desk *desk;
    struct request *request; /* until there is a pending */
    struct pending *pending; /* while it waits */
    struct request_token *token;
    bool refreshed; /* the kept chain did not fit, and was asked for anew */
};

enum step { PASSED, ANSWERED, WAITING };

static void proof_free(void *arg)
{
    struct proof *proof = arg;

    credentials_cancel(&proof->wait);
    request_token_free(proof->token);
    free(proof);
}

/* Never NULL: who is gone has left the queue. */
static struct request *request_of(const struct proof *proof)
{
    return proof->pending != NULL ? pending_request(proof->pending) : proof->request;
}

/* ---- refusing ---- */

static void refuse(struct request *request, const struct problem *problem, const char *detail)
{
    counter_add(&node_of(request)->proofs.refused, 1);
    log_fields(LOG_LEVEL_WARN, "refused", LOG_TEXT("code", problem->code),
               LOG_TEXT("user", "an STI certificate"), LOG_TEXT("client", request_client(request)),
               LOG_TEXT("method", request_method(request)), LOG_TEXT("path", request_path(request)),
               LOG_TEXT("reason", detail));
    reply_problem(request, problem, "%s", detail);
}

static void refuse_busy(struct request *request, const char *why)
{
    counter_add(&node_of(request)->proofs.busy, 1);
    reply_problem(request, &PROBLEM_UNAVAILABLE, "%s", why);
}

static void refuse_rate(struct request *request, unsigned wait, const char *what)
{
    counter_add(&node_of(request)->proofs.limited, 1);
    reply_header(request, "retry-after", request_printf(request, "%u", wait));
    reply_problem(request, &PROBLEM_TOO_MANY_REQUESTS, "too many %s; try again in %u s", what,
                  wait);
}

static void refuse_token(struct request *request, enum request_token_fault fault,
                         const struct sticps_error *err)
{
    switch (fault) {
    case REQUEST_TOKEN_GOOD:
    case REQUEST_TOKEN_NO_MEMORY:
        break;
    case REQUEST_TOKEN_MALFORMED:
    case REQUEST_TOKEN_HEADER:
        refuse(request, &MALFORMED, err->text);
        return;
    case REQUEST_TOKEN_ALGORITHM:
        refuse(request, &ALGORITHM, err->text);
        return;
    case REQUEST_TOKEN_CLAIM:
        refuse(request, &CLAIM, err->text);
        return;
    case REQUEST_TOKEN_MISMATCH:
        refuse(request, &MISMATCH, err->text);
        return;
    case REQUEST_TOKEN_TIME:
        refuse(request, &TIME, err->text);
        return;
    case REQUEST_TOKEN_X5U:
        refuse(request, &X5U, err->text);
        return;
    }
    refuse_busy(request, "out of memory");
}

/* ---- a good one ---- */

/* RFC 2253, which leaves nothing but ASCII. */
static char *issuer_text(X509 *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data, *text = NULL;

    if (bio != NULL &&
        X509_NAME_print_ex(bio, X509_get_issuer_name(certificate), 0, XN_FLAG_RFC2253) >= 0) {
        long len = BIO_get_mem_data(bio, &data);
        text = strndup(len > 0 ? data : "", len > 0 ? (size_t)len : 0);
    }
    BIO_free(bio);
    return text;
}

static char *serial_text(X509 *certificate)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get_serialNumber(certificate), NULL);
    char *hex = number != NULL ? BN_bn2hex(number) : NULL;

    BN_free(number);
    return hex; /* OpenSSL memory */
}

/* SHA-256 of the SubjectPublicKeyInfo: the same for all certificates of one key. */
static bool key_hash(X509 *certificate, char out[2 * SHA256_DIGEST_LENGTH + 1])
{
    unsigned char *der = NULL, digest[SHA256_DIGEST_LENGTH];
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);

    if (len <= 0)
        return false;
    SHA256(der, (size_t)len, digest);
    OPENSSL_free(der);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return true;
}

static void write_certificate(struct json_write *w, const char *issuer, const char *serial,
                              const char *spc, const char *key)
{
    json_write_literal(w, "{\"issuer\":");
    json_write_string(w, issuer);
    json_write_literal(w, ",\"serial\":");
    json_write_string(w, serial);
    json_write_literal(w, ",\"spc\":");
    json_write_string(w, spc);
    json_write_literal(w, ",\"keySha256\":");
    json_write_string(w, key);
    json_write_literal(w, "}");
}

/* The credential as sql/ reads it: "proof " and a JSON text. False when memory runs out. */
static bool set_credential(struct request *request, const struct request_token *token,
                           X509 *certificate)
{
    char key[2 * SHA256_DIGEST_LENGTH + 1];
    char *issuer = issuer_text(certificate), *serial = serial_text(certificate);
    struct json_write w;

    json_write_init(&w, 512);
    bool good = issuer != NULL && serial != NULL && key_hash(certificate, key);
    if (good) {
        json_write_literal(&w, "proof {\"spc\":");
        json_write_string(&w, token->iss.text);
        json_write_literal(&w, ",\"jti\":");
        json_write_string(&w, token->jti);
        json_write_literal(&w, ",\"exp\":");
        json_write_integer(&w, token->exp);
        json_write_literal(&w, ",\"certificate\":");
        write_certificate(&w, issuer, serial, token->iss.text, key);
        json_write_literal(&w, "}");
        json_write_raw(&w, "", 1); /* the terminator */
        good = !w.failed;
    }
    if (good)
        credential_set_proof(request, w.data, request_printf(request, "sti:%s", token->iss.text));
    json_write_clear(&w);
    free(issuer);
    OPENSSL_free(serial);
    return good;
}

/* The signature holds. Counted now and not before: a forger must not use up what an SPC may ask. */
static enum step accept_proof(struct proof *proof, const struct credential_answer *answer)
{
    struct request *request = request_of(proof);
    const struct spc *spc = &proof->token->iss;

    if (memcmp(&answer->spc, spc, sizeof(*spc)) != 0) {
        refuse(request, &CERTIFICATE,
               request_printf(request, "iss is %s, and the certificate's SPC is %s", spc->text,
                              answer->spc.text));
        return ANSWERED;
    }
    unsigned wait = rate_take(proof_service_proofs(proof->desk->service), spc->text,
                              strlen(spc->text), monotonic_us());
    if (wait > 0) {
        refuse_rate(request, wait, "proofs for this SPC");
        return ANSWERED;
    }
    if (!set_credential(request, proof->token, cert_chain_leaf(answer->chain))) {
        refuse_busy(request, "out of memory");
        return ANSWERED;
    }
    counter_add(&proof->desk->accepted, 1);
    return PASSED;
}

/* ---- the certificate ---- */

static unsigned wait_for_fetch(struct proof *proof)
{
    size_t len;
    const void *key = request_client_key(request_of(proof), &len);

    return rate_take(proof_service_fetches(proof->desk->service), key, len, monotonic_us());
}

/* A kept chain whose key does not match: the certificate may have been issued anew under its URL.
 */
static bool refresh(struct proof *proof, const struct credential_answer *kept)
{
    struct credential_answer answer;

    if (kept->fresh || proof->refreshed || wait_for_fetch(proof) > 0)
        return false;
    proof->refreshed = true;
    credentials_refresh(proof->desk->credentials, proof->token->x5u,
                        clock_now(node_of(request_of(proof))->daemon->clock), &proof->wait,
                        &answer);
    return answer.result == CREDENTIAL_WAITING;
}

static enum step consider(struct proof *proof, const struct credential_answer *answer)
{
    struct request *request = request_of(proof);
    struct sticps_error err = {0};
    enum sticps_err rc;

    switch (answer->result) {
    case CREDENTIAL_WAITING:
        return WAITING;
    case CREDENTIAL_BUSY:
        refuse_busy(request, "too many certificates are being fetched; try again");
        return ANSWERED;
    case CREDENTIAL_NO_ANCHORS:
        refuse_busy(request, "the approved STI-CAs, or the CRL, are not there yet or have expired");
        return ANSWERED;
    case CREDENTIAL_REFUSED:
        /* A refresh that failed: then it is the signature that counts. */
        if (!proof->refreshed)
            refuse(request, answer->code == STICPS_ERR_BAD_IDENTITY_INFO ? &X5U : &CERTIFICATE,
                   answer->err->text);
        else
            refuse(request, &SIGNATURE, "the signature does not match the certificate of the x5u");
        return ANSWERED;
    case CREDENTIAL_READY:
        break;
    }
    rc = request_token_verify(proof->token, answer->chain, &err);
    if (rc == STICPS_OK)
        return accept_proof(proof, answer);
    if (rc != STICPS_ERR_SIGNATURE)
        refuse_busy(request, "the signature cannot be checked now");
    else if (refresh(proof, answer))
        return WAITING;
    else
        refuse(request, &SIGNATURE, "the signature does not match the certificate of the x5u");
    return ANSWERED;
}

static void on_credential(struct credential_wait *wait, const struct credential_answer *answer)
{
    struct proof *proof = (struct proof *)wait;
    struct pending *pending = proof->pending;

    switch (consider(proof, answer)) {
    case WAITING:
        break;
    case ANSWERED:
        pending_done(pending);
        break;
    case PASSED:
        router_continue(pending_detach(pending)); /* frees the proof first */
        break;
    }
}

static void on_gone(struct pending *pending)
{
    struct proof *proof = pending_data(pending);

    credentials_cancel(&proof->wait);
    pending_done(pending);
}

/* ---- the cheap part ---- */

/* Form, claims, and whose entry it is. False after it has replied. */
static bool read_token(struct request *request, const char *text, struct request_token **out)
{
    const struct daemon *daemon = node_of(request)->daemon;
    struct sticps_error err = {0};
    struct request_facts facts = {
        .action = ACTION,
        .base_url = daemon->config->base_url,
        .method = request_method(request),
        .target = request_target(request),
    };
    struct spc spc;
    const char *typed = request_param(request, "spc");

    facts.body = request_body(request, &facts.body_len);
    if (facts.body_len > BODY_MAX) {
        reply_problem(request, &PROBLEM_TOO_LARGE, "the body may have %d bytes", BODY_MAX);
        return false;
    }
    enum request_token_fault fault =
        request_token_parse(text, strlen(text), daemon->config->lab == CONFIG_ON, out, &err);
    if (fault == REQUEST_TOKEN_GOOD)
        fault = request_token_check(*out, &facts, clock_now(daemon->clock), &err);
    if (fault != REQUEST_TOKEN_GOOD) {
        refuse_token(request, fault, &err);
        return false;
    }
    if (spc_from_typed(typed, strlen(typed), &spc, &err) == STICPS_OK &&
        memcmp(&spc, &(*out)->iss, sizeof(spc)) == 0)
        return true;
    refuse(request, &PROBLEM_FORBIDDEN,
           request_printf(request, "the proof is for the entry of %s alone", (*out)->iss.text));
    return false;
}

/* The limits that stand before the fetch. False after it has replied 429. */
static bool within_limits(struct proof *proof, const struct route *route, int64_t now)
{
    struct request *request = proof->request;
    const char *spc = proof->token->iss.text;
    unsigned wait =
        rate_ask(proof_service_proofs(proof->desk->service), spc, strlen(spc), monotonic_us());

    if (wait > 0) {
        refuse_rate(request, wait, "proofs for this SPC");
        return false;
    }
    if ((route->role & API_ROLE_SP_WRITE) != 0 && !write_rate_allows(request))
        return false;
    if (credentials_known(proof->desk->credentials, proof->token->x5u, now))
        return true;
    wait = wait_for_fetch(proof);
    if (wait > 0)
        refuse_rate(request, wait, "certificates to be fetched for this address");
    return wait == 0;
}

static enum step begin(struct proof *proof, const struct route *route, const char *text)
{
    struct request *request = proof->request;
    const struct daemon *daemon = node_of(request)->daemon;
    int64_t now = clock_now(daemon->clock);
    struct credential_answer answer;

    if (!read_token(request, text, &proof->token) || !within_limits(proof, route, now))
        return ANSWERED;
    proof->wait.done = on_credential;
    credentials_get(proof->desk->credentials, proof->token->x5u, now, &proof->wait, &answer);
    enum step step = consider(proof, &answer);
    if (step == WAITING) {
        proof->pending = pending_new(request, daemon->config->sti_proof.deadline_ms + MARGIN_MS,
                                     proof, proof_free);
        pending_on_gone(proof->pending, on_gone);
    }
    return step;
}

bool proof_meant(const char *token)
{
    return request_token_is_one(token, strlen(token));
}

bool proof_check(struct request *request, const struct route *route, const char *token)
{
    struct node *node = node_of(request);

    if ((route->role & API_ROLE_ENTRY) == 0) {
        refuse(request, &PROBLEM_UNAUTHENTICATED,
               "a proof by STI certificate opens the entry of its SPC alone; sign in");
        return false;
    }
    if (node->proofs.service == NULL || node->daemon->config->ca_list.directory == NULL) {
        refuse(request, &CLOSED,
               "this registry takes no proof by STI certificate: it publishes no list of approved "
               "STI-CAs, or sti_proof is off");
        return false;
    }
    struct proof *proof = calloc(1, sizeof(*proof));
    if (proof == NULL)
        abort();
    proof->desk = &node->proofs;
    proof->request = request;
    enum step step = begin(proof, route, token);
    if (step != WAITING)
        proof_free(proof);
    return step == PASSED;
}

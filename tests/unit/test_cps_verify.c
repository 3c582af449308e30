/* The verdict on a body and the cache of credentials behind it. A fetcher of the test's own stands
 * in for the network and its faults; fetches are answered when the test says so. */
#include "common/passport.h"
#include "server/cps/verify.h"

#include "tests/unit/pki.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define URL_A "https://certs.example.com/a.crt"
#define URL_B "https://certs.example.com/b.crt"
#define URL_C "https://certs.example.com/c.crt"
#define UUID "4aec94e2-508c-4c1c-907b-3737bac0a80e"

static EVP_PKEY *ca_key, *other_ca_key, *key, *other_key;
static X509 *ca, *other_ca;

/* ---- the network that is not there ---- */

struct site {
    const char *url;
    const char *pem; /* what it yields; NULL: a failed fetch */
    int64_t expires_at;
    int fetches, forgotten;
    bool cached; /* answers as libsticps does out of its own cache */
};

struct net {
    struct x5u_fetcher fetcher; /* first */
    struct site sites[8];
    struct x5u_fetch *pending[64];
    size_t pending_len;
};

static struct site *site(struct net *net, const char *url)
{
    size_t i = 0;
    for (; net->sites[i].url != NULL; i++)
        if (strcmp(net->sites[i].url, url) == 0)
            return &net->sites[i];
    assert_true(i + 1 < COUNT(net->sites));
    net->sites[i] = (struct site){.url = url, .expires_at = PKI_NOW + PKI_DAY};
    return &net->sites[i];
}

static void net_fetch(struct x5u_fetcher *fetcher, struct x5u_fetch *fetch)
{
    struct net *net = (struct net *)fetcher;
    assert_true(net->pending_len < COUNT(net->pending));
    net->pending[net->pending_len++] = fetch;
    site(net, fetch->url)->fetches++;
}

static void net_forget(struct x5u_fetcher *fetcher, const char *url)
{
    site((struct net *)fetcher, url)->forgotten++;
}

static int total_fetches(const struct net *net)
{
    int total = 0;
    for (size_t i = 0; net->sites[i].url != NULL; i++)
        total += net->sites[i].fetches;
    return total;
}

/* Answers the fetches that are under way now. */
static void net_answer(struct net *net)
{
    struct x5u_fetch *now[COUNT(net->pending)];
    size_t len = net->pending_len;
    memcpy(now, net->pending, sizeof(now));
    net->pending_len = 0;
    for (size_t i = 0; i < len; i++) {
        struct site *at = site(net, now[i]->url);
        struct sticps_error err = {STICPS_ERR_FETCH, "", "no answer"};
        if (at->pem != NULL)
            now[i]->done(now[i], STICPS_OK, &err, at->pem, strlen(at->pem), at->expires_at,
                         !at->cached);
        else
            now[i]->done(now[i], STICPS_ERR_FETCH, &err, NULL, 0, 0, true);
    }
}

/* ---- the thing under test, and what it answered ---- */

struct seen {
    int calls;
    enum verify_outcome outcome;
    enum sticps_err code;
    char text[512];
    char spc[8];
    size_t tokens_len;
};

struct bench {
    struct net net;
    int64_t now;
    struct clock clock;
    struct trust *trust;
    struct credentials *credentials;
    struct credentials_counters counters;
    struct passport_rules rules;
    struct verifier verifier;
};

static int64_t bench_now(void *context)
{
    return *(int64_t *)context;
}

static void trust_only(struct bench *bench, X509 *cert, int64_t expires)
{
    struct anchors *anchors;
    char *pem = pki_pem(&cert, 1);
    assert_int_equal(anchors_new(&anchors, NULL), STICPS_OK);
    assert_int_equal(anchors_add(anchors, pem, strlen(pem), STICPS_ERR_FILE, NULL), STICPS_OK);
    assert_int_equal(trust_publish(bench->trust, anchors, expires, NULL), STICPS_OK);
    free(pem);
}

static struct bench *bench_new(size_t max_pending)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    bench->net.fetcher = (struct x5u_fetcher){net_fetch, net_forget};
    bench->now = PKI_NOW;
    bench->clock = (struct clock){bench_now, &bench->now};
    bench->rules = (struct passport_rules)PASSPORT_RULES_DEFAULT;
    assert_int_equal(trust_new(&bench->trust, NULL), STICPS_OK);
    assert_int_equal(credentials_new(&bench->net.fetcher, bench->trust, &bench->clock, max_pending,
                                     &bench->counters, &bench->credentials, NULL),
                     STICPS_OK);
    bench->verifier = (struct verifier){&bench->rules, bench->credentials};
    return bench;
}

static void bench_free(struct bench *bench)
{
    assert_int_equal(bench->net.pending_len, 0);
    credentials_free(bench->credentials);
    trust_free(bench->trust);
    free(bench);
}

static void on_done(void *arg, const struct verify_result *result)
{
    struct seen *seen = arg;
    seen->calls++;
    seen->outcome = result->outcome;
    seen->code = result->code;
    seen->tokens_len = result->tokens_len;
    snprintf(seen->text, sizeof(seen->text), "%s", result->err.text);
    snprintf(seen->spc, sizeof(seen->spc), "%s", result->tokens[0].spc.text);
}

static struct verify_job *start(struct bench *bench, const char *body, struct seen *seen)
{
    *seen = (struct seen){0};
    struct verify_job *job =
        verify_start(&bench->verifier, body, strlen(body), bench->now, on_done, seen);
    assert_int_equal(job == NULL, seen->calls == 1);
    return job;
}

/* Starts, and answers fetches until there is a verdict. */
static struct seen judge(struct bench *bench, const char *body)
{
    struct seen seen;
    (void)start(bench, body, &seen);
    for (int i = 0; i < 5 && seen.calls == 0; i++)
        net_answer(&bench->net);
    assert_int_equal(seen.calls, 1);
    return seen;
}

static void assert_accepted(struct seen seen)
{
    if (seen.outcome != VERIFY_ACCEPTED)
        fail_msg("refused: %s: %s", sticps_err_name(seen.code), seen.text);
}

static void assert_refused(struct seen seen, enum sticps_err code)
{
    assert_int_equal(seen.outcome, VERIFY_REFUSED);
    assert_string_equal(sticps_err_name(seen.code), sticps_err_name(code));
    assert_true(seen.text[0] != '\0');
}

/* ---- tokens and certificates; all are freed at the end ---- */

static char *kept[512];
static size_t kept_len;

static char *keep(char *text)
{
    assert_true(kept_len < COUNT(kept));
    kept[kept_len++] = text;
    return text;
}

static char *token_by(EVP_PKEY *by, const char *x5u, const char *dest, int64_t iat)
{
    struct tn to, from;
    char *out;
    assert_int_equal(tn_from_typed(dest, strlen(dest), 1, &to, NULL), STICPS_OK);
    assert_int_equal(tn_from_typed("12025550100", 11, 1, &from, NULL), STICPS_OK);
    struct passport_claims claims = {"A", &to, 1, &from, iat, UUID, x5u};
    size_t len;
    assert_int_equal(passport_sign(&claims, false, by, &out, &len, NULL), STICPS_OK);
    return keep(out);
}

static char *token(const char *x5u)
{
    return token_by(key, x5u, "12025550123", PKI_NOW);
}

/* A well signed token of any header and payload. */
static char *token_of(const char *header, const char *payload)
{
    char *out;
    size_t len;
    assert_int_equal(
        jws_sign(header, strlen(header), payload, strlen(payload), key, &out, &len, NULL),
        STICPS_OK);
    return keep(out);
}

static char *joined(const char *a, const char *b, const char *c, const char *break_)
{
    size_t size = strlen(a) + strlen(b) + strlen(c) + 2 * strlen(break_) + 1;
    char *out = malloc(size);
    snprintf(out, size, "%s%s%s%s%s", a, break_, b, break_, c);
    return keep(out);
}

static const char *pem_of(struct pki_spec spec)
{
    X509 *leaf = pki_make(&spec);
    char *pem = pki_pem(&leaf, 1);
    X509_free(leaf);
    return keep(pem);
}

static const char *good_pem(void)
{
    return pem_of(pki_sti_spec(key, ca, ca_key));
}

static int set_up(void **state)
{
    (void)state;
    ca_key = pki_p256();
    other_ca_key = pki_p256();
    key = pki_p256();
    other_key = pki_p256();
    struct pki_spec spec = pki_ca_spec("STI-CA", ca_key, NULL, NULL);
    ca = pki_make(&spec);
    spec = pki_ca_spec("Stranger", other_ca_key, NULL, NULL);
    other_ca = pki_make(&spec);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    while (kept_len > 0)
        free(kept[--kept_len]);
    X509_free(ca);
    X509_free(other_ca);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(other_ca_key);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other_key);
    return 0;
}

static struct bench *ready_bench(void)
{
    struct bench *bench = bench_new(10);
    trust_only(bench, ca, TRUST_FOREVER);
    site(&bench->net, URL_A)->pem = good_pem();
    return bench;
}

/* ---- tests ---- */

static void accepts_and_fetches_once(void **state)
{
    (void)state;
    struct bench *bench = ready_bench();
    struct seen seen = judge(bench, token(URL_A));
    assert_accepted(seen);
    assert_string_equal(seen.spc, "818H");
    assert_accepted(judge(bench, token(URL_A)));
    assert_int_equal(total_fetches(&bench->net), 1);
    bench_free(bench);
}

#define HEADER "{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\",\"x5u\":\"" URL_A "\"}"
#define PAYLOAD(iat)                                                     \
    "{\"attest\":\"A\",\"dest\":{\"tn\":[\"12025550123\"]},\"iat\":" iat \
    ",\"orig\":{\"tn\":\"12025550100\"},\"origid\":\"" UUID "\"}"
#define FRESH PAYLOAD("1700000000")

static void nothing_is_fetched_for_what_is_refused_anyway(void **state)
{
    (void)state;
    static const struct {
        const char *header, *payload;
        enum sticps_err code;
    } bad[] = {
        {"not json", FRESH, STICPS_ERR_MALFORMED},
        {HEADER, "[]", STICPS_ERR_MALFORMED},
        {HEADER, "{\"attest\":\"A\",\"attest\":\"B\"}", STICPS_ERR_MALFORMED},
        {"{\"alg\":\"RS256\",\"ppt\":\"shaken\",\"typ\":\"passport\",\"x5u\":\"" URL_A "\"}", FRESH,
         STICPS_ERR_UNSUPPORTED_CREDENTIAL},
        {"{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"JWT\",\"x5u\":\"" URL_A "\"}", FRESH,
         STICPS_ERR_INVALID_IDENTITY_HEADER},
        {"{\"alg\":\"ES256\",\"ppt\":\"div\",\"typ\":\"passport\",\"x5u\":\"" URL_A "\"}", FRESH,
         STICPS_ERR_INVALID_IDENTITY_HEADER},
        {HEADER, "{}", STICPS_ERR_INVALID_IDENTITY_HEADER},
        {HEADER, PAYLOAD("\"1700000000\""), STICPS_ERR_INVALID_IDENTITY_HEADER},
        {HEADER, PAYLOAD("1699999939"), STICPS_ERR_STALE_DATE},
        {HEADER, PAYLOAD("1700000006"), STICPS_ERR_STALE_DATE},
        {"{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\"}", FRESH,
         STICPS_ERR_BAD_IDENTITY_INFO},
        {"{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\",\"x5u\":\"http://"
         "certs.example.com/a.crt\"}",
         FRESH, STICPS_ERR_BAD_IDENTITY_INFO},
        {"{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\",\"x5u\":\"https://127.0.0.1/"
         "a\"}",
         FRESH, STICPS_ERR_BAD_IDENTITY_INFO},
    };
    struct bench *bench = ready_bench();
    for (size_t i = 0; i < COUNT(bad); i++) {
        const char *one = token_of(bad[i].header, bad[i].payload);
        assert_refused(judge(bench, one), bad[i].code);
        /* neither for the good ones beside it */
        assert_refused(judge(bench, joined(token(URL_A), token(URL_B), one, "\n")), bad[i].code);
    }
    assert_int_equal(total_fetches(&bench->net), 0);
    /* the table's frame is sound: what is left alone is accepted, up to the last fresh second */
    assert_accepted(judge(bench, token_of(HEADER, FRESH)));
    assert_accepted(judge(bench, token_of(HEADER, PAYLOAD("1699999940"))));
    assert_accepted(judge(bench, token_of(HEADER, PAYLOAD("1700000005"))));
    bench_free(bench);
}

static void divides_the_body(void **state)
{
    (void)state;
    struct bench *bench = ready_bench();
    const char *one = token(URL_A), *two = token(URL_A);
    struct seen seen = judge(bench, joined(one, two, "", "\n"));
    assert_accepted(seen);
    assert_int_equal(seen.tokens_len, 2);
    seen = judge(bench, joined(one, two, one, "\r\n"));
    assert_accepted(seen);
    assert_int_equal(seen.tokens_len, 3);
    assert_accepted(judge(bench, joined(one, "", "", "")));
    assert_accepted(judge(bench, joined(joined(one, two, one, "\n"), "\n", "", "")));

    const char *bad[] = {
        "",
        "\n",
        "\r\n",
        joined("", one, "", "\n"),                          /* a line before */
        joined(one, "", two, "\n"),                         /* one between */
        joined(one, "\n", "\n", ""),                        /* one after */
        joined(joined(one, two, one, "\n"), two, "", "\n"), /* four */
        joined(joined(one, two, one, "\n"), "x", "", "\n"), /* and a fourth that is none */
        joined(one, two, "", " "),                          /* another separator */
        joined(" ", one, "", ""),                           /* white space */
        joined(one, ";info=<" URL_A ">;alg=ES256", "", ""), /* a header's form */
        joined(one, token_by(key, URL_A, "12025550124", PKI_NOW), "", "\n"), /* two calls */
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_refused(judge(bench, bad[i]), STICPS_ERR_MALFORMED);
    bench_free(bench);
}

static void fetches_run_in_parallel(void **state)
{
    (void)state;
    struct bench *bench = ready_bench();
    site(&bench->net, URL_B)->pem = good_pem();
    site(&bench->net, URL_C)->pem = good_pem();
    struct seen seen;
    (void)start(bench, joined(token(URL_A), token(URL_B), token(URL_C), "\n"), &seen);
    assert_int_equal(bench->net.pending_len, 3);
    net_answer(&bench->net);
    assert_int_equal(seen.calls, 1);
    assert_accepted(seen);
    bench_free(bench);
}

static void one_bad_certificate_refuses_all(void **state)
{
    (void)state;
    struct bench *bench = ready_bench(); /* URL_B fails */
    struct seen seen = judge(bench, joined(token(URL_A), token(URL_B), "", "\n"));
    assert_refused(seen, STICPS_ERR_BAD_IDENTITY_INFO);
    bench_free(bench);
}

static void judges_certificates(void **state)
{
    (void)state;
    struct pki_spec no_list = pki_sti_spec(key, ca, ca_key),
                    expired = pki_sti_spec(key, ca, ca_key),
                    no_usage = pki_sti_spec(key, ca, ca_key);
    no_list.tnauthlist = NULL;
    expired.ends = -60;
    no_usage.key_usage = NULL;
    const struct {
        const char *pem;
        enum sticps_err code;
    } bad[] = {
        {pem_of(pki_sti_spec(key, other_ca, other_ca_key)), STICPS_ERR_UNSUPPORTED_CREDENTIAL},
        {pem_of(no_list), STICPS_ERR_UNSUPPORTED_CREDENTIAL},
        {pem_of(expired), STICPS_ERR_UNSUPPORTED_CREDENTIAL},
        {pem_of(no_usage), STICPS_ERR_UNSUPPORTED_CREDENTIAL},
        {pem_of(pki_sti_spec(other_key, ca, ca_key)), STICPS_ERR_INVALID_IDENTITY_HEADER},
        {"<html>certificate</html>", STICPS_ERR_BAD_IDENTITY_INFO},
        {NULL, STICPS_ERR_BAD_IDENTITY_INFO},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct bench *bench = ready_bench();
        site(&bench->net, URL_A)->pem = bad[i].pem;
        assert_refused(judge(bench, token(URL_A)), bad[i].code);
        assert_int_equal(total_fetches(&bench->net), 1);
        bench_free(bench);
    }
}

static void a_refused_certificate_is_remembered_for_a_while(void **state)
{
    (void)state;
    struct bench *bench = ready_bench();
    struct site *at = site(&bench->net, URL_A);
    at->pem = pem_of(pki_sti_spec(key, other_ca, other_ca_key));
    assert_refused(judge(bench, token(URL_A)), STICPS_ERR_UNSUPPORTED_CREDENTIAL);
    assert_int_equal(at->forgotten, 1); /* or libsticps would yield it again for a day */
    at->pem = good_pem();
    bench->now += CREDENTIALS_REMEMBER - 1;
    assert_refused(judge(bench, token(URL_A)), STICPS_ERR_UNSUPPORTED_CREDENTIAL);
    assert_int_equal(at->fetches, 1);
    bench->now += 1;
    assert_accepted(judge(bench, token(URL_A)));
    assert_int_equal(at->fetches, 2);
    bench_free(bench);
}

static void forged_tokens_make_no_storm(void **state)
{
    (void)state;
    struct bench *bench = ready_bench();
    struct site *at = site(&bench->net, URL_A);
    const char *forged = token_by(other_key, URL_A, "12025550123", PKI_NOW + 30);
    bench->rules.max_ahead = 100;
    assert_accepted(judge(bench, token(URL_A)));
    assert_refused(judge(bench, forged), STICPS_ERR_INVALID_IDENTITY_HEADER);
    assert_int_equal(at->fetches, 2); /* the kept chain may be old: asked once more */
    assert_int_equal(at->forgotten, 1);
    for (int i = 0; i < 20; i++)
        assert_refused(judge(bench, forged), STICPS_ERR_INVALID_IDENTITY_HEADER);
    assert_int_equal(at->fetches, 2);
    bench->now += CREDENTIALS_REFRESH_EVERY;
    assert_refused(judge(bench, forged), STICPS_ERR_INVALID_IDENTITY_HEADER);
    assert_int_equal(at->fetches, 3);
    /* the good ones were never disturbed */
    assert_accepted(judge(bench, token(URL_A)));
    assert_int_equal(at->fetches, 3);
    bench_free(bench);
}

static void a_certificate_issued_anew_is_found(void **state)
{
    (void)state;
    struct bench *bench = ready_bench();
    struct site *at = site(&bench->net, URL_A);
    assert_accepted(judge(bench, token(URL_A)));
    at->pem = pem_of(pki_sti_spec(other_key, ca, ca_key));
    const char *renewed = token_by(other_key, URL_A, "12025550123", PKI_NOW);
    struct seen a, b, old;
    (void)start(bench, renewed, &a);
    (void)start(bench, renewed, &b);
    assert_int_equal(bench->net.pending_len, 1); /* both wait for one fetch */
    (void)start(bench, token(URL_A), &old);
    assert_accepted(old); /* and the kept chain still serves */
    net_answer(&bench->net);
    assert_int_equal(a.calls, 1);
    assert_accepted(a);
    assert_int_equal(b.calls, 1);
    assert_accepted(b);
    assert_int_equal(at->fetches, 2);
    bench_free(bench);
}

/* Another thread fetched it before: libsticps yields what it has, which may be out of date as well.
 */
static void an_old_chain_from_below_is_refreshed(void **state)
{
    (void)state;
    struct bench *bench = ready_bench();
    struct site *at = site(&bench->net, URL_A);
    at->cached = true;
    struct seen seen;
    (void)start(bench, token_by(other_key, URL_A, "12025550123", PKI_NOW), &seen);
    net_answer(&bench->net);
    assert_int_equal(seen.calls, 0);
    assert_int_equal(at->forgotten, 1);
    at->cached = false;
    at->pem = pem_of(pki_sti_spec(other_key, ca, ca_key));
    net_answer(&bench->net);
    assert_int_equal(seen.calls, 1);
    assert_accepted(seen);
    bench_free(bench);
}

static void a_failed_refresh_keeps_the_chain(void **state)
{
    (void)state;
    struct bench *bench = ready_bench();
    struct site *at = site(&bench->net, URL_A);
    assert_accepted(judge(bench, token(URL_A)));
    at->pem = NULL;
    assert_refused(judge(bench, token_by(other_key, URL_A, "12025550123", PKI_NOW)),
                   STICPS_ERR_INVALID_IDENTITY_HEADER);
    assert_int_equal(at->fetches, 2);
    assert_accepted(judge(bench, token(URL_A)));
    assert_int_equal(at->fetches, 2);
    bench_free(bench);
}

static void other_anchors_are_another_verdict(void **state)
{
    (void)state;
    struct bench *bench = ready_bench();
    struct site *at = site(&bench->net, URL_A);
    assert_accepted(judge(bench, token(URL_A)));
    trust_only(bench, other_ca, TRUST_FOREVER);
    assert_refused(judge(bench, token(URL_A)), STICPS_ERR_UNSUPPORTED_CREDENTIAL);
    assert_int_equal(at->fetches, 1); /* judged again, not fetched again */
    trust_only(bench, ca, TRUST_FOREVER);
    assert_accepted(judge(bench, token(URL_A))); /* at once, though it was just refused */
    trust_only(bench, ca, TRUST_FOREVER);
    assert_accepted(judge(bench, token(URL_A)));
    assert_int_equal(at->fetches, 2);
    bench_free(bench);
}

static void without_anchors_nothing_is_judged(void **state)
{
    (void)state;
    struct bench *bench = bench_new(10);
    site(&bench->net, URL_A)->pem = good_pem();
    assert_int_equal(judge(bench, token(URL_A)).outcome, VERIFY_NOT_READY);
    assert_int_equal(total_fetches(&bench->net), 0);
    trust_only(bench, ca, PKI_NOW + 10);
    assert_accepted(judge(bench, token(URL_A)));
    bench->now = PKI_NOW + 9;
    assert_accepted(judge(bench, token(URL_A)));
    bench->now = PKI_NOW + 10; /* the list's exp: not one second longer */
    assert_int_equal(judge(bench, token(URL_A)).outcome, VERIFY_NOT_READY);
    bench->now = PKI_NOW;
    trust_only(bench, ca, TRUST_FOREVER);
    struct seen seen;
    (void)start(bench, token(URL_B), &seen);
    trust_only(bench, ca, PKI_NOW - 1); /* expires while the fetch is under way */
    site(&bench->net, URL_B)->pem = good_pem();
    net_answer(&bench->net);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.outcome, VERIFY_NOT_READY);
    bench_free(bench);
}

static void a_chain_is_not_kept_past_its_time(void **state)
{
    (void)state;
    struct bench *bench = ready_bench();
    struct site *at = site(&bench->net, URL_A);
    bench->rules.max_age = 3600;
    at->expires_at = PKI_NOW + 100; /* caching headers */
    assert_accepted(judge(bench, token(URL_A)));
    bench->now = PKI_NOW + 99;
    assert_accepted(judge(bench, token(URL_A)));
    assert_int_equal(at->fetches, 1);
    bench->now = PKI_NOW + 100;
    at->expires_at = PKI_NOW + PKI_DAY;
    struct pki_spec soon = pki_sti_spec(key, ca, ca_key);
    soon.ends = 200; /* notAfter */
    at->pem = pem_of(soon);
    assert_accepted(judge(bench, token(URL_A)));
    assert_int_equal(at->fetches, 2);
    bench->now = PKI_NOW + 199;
    assert_accepted(judge(bench, token(URL_A)));
    assert_int_equal(at->fetches, 2);
    bench->now = PKI_NOW + 201;
    assert_refused(judge(bench, token(URL_A)), STICPS_ERR_UNSUPPORTED_CREDENTIAL);
    assert_int_equal(at->fetches, 3);
    bench_free(bench);
}

static void what_must_not_be_cached_serves_once(void **state)
{
    (void)state;
    struct bench *bench = ready_bench();
    site(&bench->net, URL_A)->expires_at = PKI_NOW;
    assert_accepted(judge(bench, token(URL_A)));
    assert_accepted(judge(bench, token(URL_A)));
    assert_int_equal(total_fetches(&bench->net), 2);
    bench_free(bench);
}

static void fetches_under_way_are_bounded(void **state)
{
    (void)state;
    struct bench *bench = bench_new(2);
    trust_only(bench, ca, TRUST_FOREVER);
    site(&bench->net, URL_A)->pem = good_pem();
    site(&bench->net, URL_B)->pem = good_pem();
    struct seen a, b, c, again;
    (void)start(bench, token(URL_A), &a);
    (void)start(bench, token(URL_B), &b);
    (void)start(bench, token(URL_C), &c);
    assert_int_equal(c.calls, 1);
    assert_int_equal(c.outcome, VERIFY_BUSY);
    (void)start(bench, token(URL_A), &again); /* joins */
    assert_int_equal(again.calls, 0);
    net_answer(&bench->net);
    assert_accepted(a);
    assert_accepted(b);
    assert_accepted(again);
    assert_int_equal(total_fetches(&bench->net), 2);
    site(&bench->net, URL_C)->pem = good_pem();
    assert_accepted(judge(bench, token(URL_C)));
    bench_free(bench);
}

static void a_request_that_is_gone_is_forgotten(void **state)
{
    (void)state;
    struct bench *bench = ready_bench();
    struct seen gone, stays, late;
    struct verify_job *job = start(bench, joined(token(URL_A), token(URL_B), "", "\n"), &gone);
    (void)start(bench, token(URL_A), &stays);
    verify_cancel(job);
    net_answer(&bench->net);
    assert_int_equal(gone.calls, 0);
    assert_accepted(stays);
    /* one whose time is over gets its verdict; the fetch goes on for the next */
    job = start(bench, token(URL_C), &late);
    verify_give_up(job);
    assert_int_equal(late.calls, 1);
    assert_refused(late, STICPS_ERR_BAD_IDENTITY_INFO);
    site(&bench->net, URL_C)->pem = good_pem();
    net_answer(&bench->net);
    assert_accepted(judge(bench, token(URL_C)));
    assert_int_equal(site(&bench->net, URL_C)->fetches, 1);
    bench_free(bench);
}

static void the_cache_is_bounded(void **state)
{
    (void)state;
    struct bench *bench = ready_bench();
    const char *pem = good_pem();
    struct credential_wait wait = {0};
    struct credential_answer answer;
    assert_accepted(judge(bench, token(URL_A)));
    for (int i = 0; i < CREDENTIALS_KEPT; i++) {
        char url[64];
        snprintf(url, sizeof(url), "https://certs.example.com/%d", i);
        credentials_get(bench->credentials, url, bench->now, &wait, &answer);
        assert_int_equal(answer.result, CREDENTIAL_WAITING);
        credentials_cancel(&wait);
        struct x5u_fetch *fetch = bench->net.pending[0];
        bench->net.pending_len = 0;
        bench->net.sites[1] = (struct site){0};
        fetch->done(fetch, STICPS_OK, NULL, pem, strlen(pem), PKI_NOW + PKI_DAY, true);
    }
    /* the one used longest ago had to go, the newest is there */
    credentials_get(bench->credentials, "https://certs.example.com/4095", bench->now, &wait,
                    &answer);
    assert_int_equal(answer.result, CREDENTIAL_READY);
    assert_accepted(judge(bench, token(URL_A)));
    assert_int_equal(site(&bench->net, URL_A)->fetches, 2);
    bench_free(bench);
}

/* What credentials_known says beforehand, and whether credentials_get then starts a fetch. */
static void expect_known(struct bench *bench, const char *url, bool known)
{
    struct credential_wait wait = {0};
    struct credential_answer answer;
    int before = site(&bench->net, url)->fetches;
    assert_int_equal(credentials_known(bench->credentials, url, bench->now), known);
    credentials_get(bench->credentials, url, bench->now, &wait, &answer);
    assert_int_equal(site(&bench->net, url)->fetches, before + !known);
    credentials_cancel(&wait);
}

static void a_caller_can_tell_whether_a_fetch_would_start(void **state)
{
    (void)state;
    struct bench *bench = ready_bench();
    site(&bench->net, URL_A)->pem = good_pem();
    site(&bench->net, URL_B)->pem = pem_of(pki_sti_spec(key, other_ca, other_ca_key));
    for (int i = 0; i < 2; i++) {
        const char *url = i == 0 ? URL_A : URL_B; /* a good one, and a stranger's */
        expect_known(bench, url, false);
        expect_known(bench, url, true); /* joins the fetch */
        net_answer(&bench->net);
        expect_known(bench, url, true);
    }
    trust_only(bench, other_ca,
               TRUST_FOREVER); /* the good is judged again, the refused asked anew */
    expect_known(bench, URL_A, true);
    expect_known(bench, URL_B, false);
    net_answer(&bench->net);
    bench->now += 40 * PKI_DAY;
    expect_known(bench, URL_A, false);
    net_answer(&bench->net);
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_and_fetches_once),
        cmocka_unit_test(nothing_is_fetched_for_what_is_refused_anyway),
        cmocka_unit_test(divides_the_body),
        cmocka_unit_test(fetches_run_in_parallel),
        cmocka_unit_test(one_bad_certificate_refuses_all),
        cmocka_unit_test(judges_certificates),
        cmocka_unit_test(a_refused_certificate_is_remembered_for_a_while),
        cmocka_unit_test(forged_tokens_make_no_storm),
        cmocka_unit_test(a_certificate_issued_anew_is_found),
        cmocka_unit_test(an_old_chain_from_below_is_refreshed),
        cmocka_unit_test(a_failed_refresh_keeps_the_chain),
        cmocka_unit_test(other_anchors_are_another_verdict),
        cmocka_unit_test(without_anchors_nothing_is_judged),
        cmocka_unit_test(a_chain_is_not_kept_past_its_time),
        cmocka_unit_test(what_must_not_be_cached_serves_once),
        cmocka_unit_test(fetches_under_way_are_bounded),
        cmocka_unit_test(a_request_that_is_gone_is_forgotten),
        cmocka_unit_test(the_cache_is_bounded),
        cmocka_unit_test(a_caller_can_tell_whether_a_fetch_would_start),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

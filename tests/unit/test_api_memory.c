/* sticps_set_allocator, and with it every allocation under every public call, the shared library's
 * own and jansson's. The first, second, third … of a call fails until the call gets by without.
 * Each time it ends with NO_MEMORY, the client lives on and the very next try goes well; and at the
 * end nothing is left over, nor was anything given back that did not come from here.
 *
 * libcurl's memory is counted for that end, but does not fail: 7.88 does not live through it
 * (without memory to note a socket's transfer it divides by zero later; without it for a TLS
 * session it frees that twice). OpenSSL's is not counted: one handshake takes tens of thousands of
 * pieces. */
#include "sticps/sticps.h"

#include "common/passport.h"
#include "common/signed_list.h"
#include "tests/unit/tls_server.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>

/* ---- memory that fails on demand, and is counted ---- */

enum family { OWN, JSON, CURL_S, FAMILIES };

struct block {
    size_t magic;
    enum family family;
    max_align_t memory[];
};
#define MAGIC ((size_t)0x5717c950)

static long countdown; /* the allocation that fails; 0: none */
static bool for_good;  /* and all after it */
static bool failed;
static atomic_long alive[FAMILIES]; /* by family */

static bool must_fail(enum family family)
{
    if (countdown == 0 || family == CURL_S || --countdown > 0)
        return false;
    countdown = for_good ? 1 : 0;
    failed = true;
    return true;
}

static void *take(enum family family, size_t size)
{
    struct block *block = must_fail(family) ? NULL : calloc(1, sizeof(*block) + size);
    if (block == NULL)
        return NULL;
    block->magic = MAGIC;
    block->family = family;
    alive[family]++;
    return block->memory;
}

static struct block *block_of(void *memory)
{
    struct block *block = (struct block *)((char *)memory - offsetof(struct block, memory));
    if (block->magic != MAGIC) {
        fprintf(stderr, "memory is given back that was not taken here\n");
        abort();
    }
    return block;
}

static void give_back(void *memory)
{
    if (memory == NULL)
        return;
    struct block *block = block_of(memory);
    alive[block->family]--;
    block->magic = 0;
    free(block);
}

static void *change(enum family family, void *memory, size_t size)
{
    if (memory == NULL)
        return take(family, size);
    struct block *old = block_of(memory);
    if (must_fail(family))
        return NULL;
    struct block *block = realloc(old, sizeof(*block) + size);
    return block != NULL ? block->memory : NULL;
}

static void *own_malloc(size_t size)
{
    return take(OWN, size);
}

static void *own_calloc(size_t count, size_t size)
{
    return take(OWN, count * size);
}

static void *own_realloc(void *memory, size_t size)
{
    return change(OWN, memory, size);
}

static void *json_take(size_t size)
{
    return take(JSON, size);
}

static void *curl_take(size_t size)
{
    return take(CURL_S, size);
}

static void *curl_calloc(size_t count, size_t size)
{
    return take(CURL_S, count * size);
}

static void *curl_change(void *memory, size_t size)
{
    return change(CURL_S, memory, size);
}

static char *curl_strdup(const char *text)
{
    char *copy = take(CURL_S, strlen(text) + 1);
    return copy != NULL ? strcpy(copy, text) : NULL;
}

/* ---- what is at hand ---- */

#define LIST_LIFE (6 * PKI_DAY)

static struct tls_server *lists, *certs, *cps;
static char dir[64], state_dir[80], npdb_path[96], csv_path[96], key_path[96], anchor_path[96];
static char override_path[96];
static char list_url[96], chain_url[96], cps_url[96], registry[64], *list_text, *far_text, *token;
static int64_t now = PKI_NOW;
static struct sticps_client *client;

/* Moves on at each look, so that what a failure leaves remembered is over at the next try. */
static int64_t test_clock(void *context)
{
    (void)context;
    return now;
}

static void write_text(char *path, size_t size, const char *name, const char *text)
{
    snprintf(path, size, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void make_lists(void)
{
    EVP_PKEY *root_key = pki_p256(), *key = pki_p256();
    struct pki_spec root_spec = pki_ca_spec("root", root_key, NULL, NULL);
    X509 *root = pki_make(&root_spec);
    struct pki_spec spec = pki_signer_spec(key, root, root_key);
    X509 *chain[2] = {pki_make(&spec), root};
    char *chain_pem = pki_pem(chain, 2), *root_pem = pki_pem(&root, 1);
    const struct cps_entry entries[] = {{{"1234"}, cps_url}};
    size_t len;
    write_text(anchor_path, sizeof(anchor_path), "anchor.pem", root_pem);
    tls_server_answer(certs, "", chain_pem);
    assert_int_equal(signed_list_build(entries, 1, 7, PKI_NOW + LIST_LIFE, chain_url, key,
                                       &list_text, &len, NULL),
                     STICPS_OK);
    assert_int_equal(signed_list_build(entries, 1, 900, PKI_NOW + LIST_LIFE, chain_url, key,
                                       &far_text, &len, NULL),
                     STICPS_OK);
    tls_server_answer(lists, "", list_text);
    snprintf(key_path, sizeof(key_path), "%s/key.pem", dir);
    FILE *file = fopen(key_path, "w");
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);

    struct tn dest = {"12025550123"}, orig = {"12025550100"};
    const struct passport_claims claims = {.attest = "A",
                                           .dest = &dest,
                                           .dest_len = 1,
                                           .orig = &orig,
                                           .iat = PKI_NOW,
                                           .origid = "00000000-0000-4000-8000-000000000000",
                                           .x5u = "https://certs.example.com/one"};
    assert_int_equal(passport_sign(&claims, false, key, &token, &len, NULL), STICPS_OK);
    X509_free(chain[0]);
    X509_free(root);
    free(chain_pem);
    free(root_pem);
    EVP_PKEY_free(root_key);
    EVP_PKEY_free(key);
}

/* ---- the calls: each does one thing and returns how it ended ---- */

/* The host's signature, which nobody here looks at; the CPS takes the next request. */
static void on_sign(void *ctx, struct sticps_signing *signing)
{
    static const unsigned char signature[64];
    (void)ctx;
    tls_server_status(cps, "201 Created", "", "");
    sticps_signing_done(signing, signature);
}

static enum sticps_dip_result on_dip(void *ctx, const char *tn, struct sticps_dip *out)
{
    (void)ctx;
    (void)tn;
    (void)out;
    return STICPS_DIP_NOT_FOUND;
}

static enum sticps_err fill(struct sticps_options *options)
{
    enum sticps_err code = sticps_options_add_anchor_file(options, anchor_path, NULL);
    struct tls_server *const servers[] = {lists, certs, cps};
    for (size_t i = 0; i < 3 && code == STICPS_OK; i++)
        code = sticps_options_add_tls_ca_file(options, servers[i]->ca_path, NULL);
    if (code == STICPS_OK)
        code = sticps_options_set_state_dir(options, state_dir, NULL);
    if (code == STICPS_OK)
        code = sticps_options_add_x5u_host(options, "certs.example", NULL);
    if (code == STICPS_OK)
        code = sticps_options_add_cps_port(options, 8443, NULL);
    if (code == STICPS_OK)
        code = sticps_options_add_list_url(options, STICPS_LIST_CPS, list_url, NULL);
    if (code == STICPS_OK)
        code = sticps_options_set_override_file(options, override_path, NULL);
    if (code == STICPS_OK)
        code = sticps_options_set_sti_signer(options, "1234", "https://certs.example/sti", on_sign,
                                             NULL, NULL);
    if (code == STICPS_OK)
        code = sticps_options_add_npdb(options, NULL);
    if (code == STICPS_OK)
        code = sticps_options_add_enum(options, "e164.test", NULL);
    if (code == STICPS_OK) /* where nobody answers */
        code = sticps_options_add_enum_server(options, "127.0.0.1:9", NULL);
    if (code == STICPS_OK)
        code = sticps_options_add_dip(options, on_dip, NULL, NULL);
    sticps_options_set_clock(options, test_clock, NULL);
    sticps_options_set_deliver_timeout(options, 60000);
    sticps_options_set_lab(options, true);
    return code;
}

static enum sticps_err make_client(struct sticps_client **out)
{
    struct sticps_options *options = sticps_options_new();
    enum sticps_err code = options != NULL ? fill(options) : STICPS_ERR_NO_MEMORY;
    if (code == STICPS_OK)
        code = sticps_client_new(options, out, NULL);
    sticps_options_free(options);
    return code;
}

static enum sticps_err call_client(void)
{
    struct sticps_client *made = NULL;
    enum sticps_err code = make_client(&made);
    sticps_client_free(made);
    return code;
}

static enum sticps_err call_options(void)
{
    struct sticps_options *options = sticps_options_new();
    enum sticps_err code = options != NULL ? fill(options) : STICPS_ERR_NO_MEMORY;
    if (code == STICPS_OK)
        code = sticps_options_set_tls_client(options, "cert", "key", NULL);
    if (code == STICPS_OK)
        code = sticps_options_set_crl_file(options, "crl", anchor_path, NULL);
    if (code == STICPS_OK)
        code = sticps_options_set_sti_key_file(options, "1234", "https://certs.example/sti",
                                               key_path, NULL);
    sticps_options_free(options);
    return code;
}

static enum sticps_err call_build(void)
{
    struct sticps_npdb_build *build = NULL;
    enum sticps_err code = sticps_npdb_build_new(&build, NULL);
    if (code == STICPS_OK)
        code = sticps_npdb_build_add_blocks(build, csv_path, NULL);
    if (code == STICPS_OK)
        code = sticps_npdb_build_set(build, STICPS_NPDB_SKIP_STATUSES, "X,V", NULL);
    if (code == STICPS_OK)
        code = sticps_npdb_build_set(build, STICPS_NPDB_SPC_MAP, override_path, NULL);
    if (code == STICPS_OK) {
        sticps_npdb_build_set_threads(build, 1); /* so that the same allocation fails each time */
        code = sticps_npdb_build_run(build, npdb_path, NULL);
    }
    if (code == STICPS_OK) /* and as changes of what it has made */
        code = sticps_npdb_build_set_base(build, npdb_path, NULL);
    if (code == STICPS_OK)
        code = sticps_npdb_build_run(build, npdb_path, NULL);
    sticps_npdb_build_free(build);
    return code;
}

static enum sticps_err call_open(void)
{
    struct sticps_npdb *npdb = NULL;
    struct sticps_npdb_answer answer;
    enum sticps_err code = sticps_npdb_open(npdb_path, 1, &npdb, NULL);
    if (code == STICPS_OK)
        code = sticps_npdb_lookup(npdb, "2025550123", 1, &answer, NULL);
    if (code == STICPS_OK)
        assert_string_equal(answer.spc, "1234");
    sticps_npdb_close(npdb);
    return code;
}

static enum sticps_err call_set_npdb(void)
{
    const char *const paths[] = {npdb_path, npdb_path};
    return sticps_client_set_npdb(client, paths, 2, NULL);
}

/* Anew each time: fetched, its signer's certificate too, judged and stored. */
static enum sticps_err call_fetch(void)
{
    struct sticps_list *list = NULL;
    enum sticps_list_status status;
    enum sticps_err code = sticps_list_reset(client, STICPS_LIST_CPS, 0, NULL, NULL, NULL);
    sticps_x5u_forget(client, chain_url);
    if (code == STICPS_OK)
        code =
            sticps_list_fetch_wait(client, STICPS_LIST_CPS, list_url, &list, &status, NULL, NULL);
    if (code == STICPS_OK) {
        assert_int_equal(status, STICPS_LIST_TAKEN);
        assert_int_equal(sticps_list_sequence(list), 7);
    }
    sticps_list_unref(list);
    return code;
}

static enum sticps_err call_refresh(void)
{
    struct sticps_list *list = NULL;
    enum sticps_err code = sticps_list_reset(client, STICPS_LIST_CPS, 0, NULL, NULL, NULL);
    sticps_x5u_forget(client, chain_url);
    if (code == STICPS_OK)
        code = sticps_list_refresh_wait(client, STICPS_LIST_CPS, &list, NULL, NULL, NULL);
    sticps_list_unref(list);
    return code;
}

/* The floor is driven far ahead, and comes back. */
static enum sticps_err call_recover(void)
{
    struct sticps_list *list = NULL, *offered = NULL;
    int64_t floor = 0;
    enum sticps_err code = sticps_list_reset(client, STICPS_LIST_CPS, 0, NULL, NULL, NULL);
    tls_server_answer(lists, "", far_text);
    if (code == STICPS_OK)
        code = sticps_list_refresh_wait(client, STICPS_LIST_CPS, &list, NULL, NULL, NULL);
    tls_server_answer(lists, "", list_text);
    if (code == STICPS_OK)
        code = sticps_list_offer_wait(client, STICPS_LIST_CPS, &offered, NULL);
    if (code == STICPS_OK)
        code = sticps_list_recover(client, offered, &floor, NULL);
    if (code == STICPS_OK) {
        assert_int_equal(floor, 900);
        assert_int_equal(sticps_list_sequence(offered), 7);
    }
    sticps_list_unref(list);
    sticps_list_unref(offered);
    return code;
}

/* The file of anchors is read again. */
static enum sticps_err call_reload(void)
{
    tls_server_pause(20); /* file times go by the kernel's ticks */
    assert_int_equal(utimensat(AT_FDCWD, anchor_path, NULL, 0), 0);
    return sticps_client_reload(client, NULL);
}

static enum sticps_err call_load(void)
{
    return sticps_list_load(client, STICPS_LIST_CPS, NULL);
}

struct chain_end {
    bool told;
    enum sticps_err code;
};

static void on_chain(void *ctx, enum sticps_err code, const struct sticps_error *err,
                     const char *pem, size_t len, int64_t expires_at)
{
    struct chain_end *end = ctx;
    (void)err;
    (void)expires_at;
    assert_false(end->told);
    assert_int_equal(pem != NULL, code == STICPS_OK);
    assert_int_equal(len, pem != NULL ? strlen(pem) : 0);
    end->told = true;
    end->code = code;
}

static enum sticps_err call_x5u(void)
{
    struct chain_end end = {0};
    struct pollfd fd = {.fd = sticps_client_fd(client), .events = POLLIN};
    sticps_x5u_forget(client, chain_url);
    sticps_x5u_fetch(client, chain_url, on_chain, &end);
    for (int i = 0; i < 6000 && !end.told; i++) {
        poll(&fd, 1, 10);
        enum sticps_err code = sticps_client_process(client, NULL);
        assert_int_equal(code, STICPS_OK);
    }
    assert_true(end.told);
    return end.code;
}

static enum sticps_err call_resolve(void)
{
    struct sticps_answer *answer = sticps_answer_new();
    if (answer == NULL)
        return STICPS_ERR_NO_MEMORY;
    enum sticps_err code = sticps_resolve(client, "+1 202-555-0123", answer, NULL);
    if (code == STICPS_OK)
        assert_string_equal(sticps_answer_url(answer), cps_url);
    sticps_answer_free(answer);
    return code;
}

static enum sticps_err call_deliver(void)
{
    struct sticps_delivery *delivery = NULL;
    tls_server_status(cps, "201 Created", "", "");
    enum sticps_err code = sticps_deliver_wait(client, token, strlen(token), &delivery, NULL);
    if (code == STICPS_OK)
        assert_int_equal(sticps_delivery_status(delivery, 0), 201);
    sticps_delivery_free(delivery);
    return code;
}

static enum sticps_err call_challenged(void)
{
    tls_server_status(cps, "401 Who", "WWW-Authenticate: Bearer\r\n", "");
    struct sticps_delivery *delivery = NULL;
    enum sticps_err code = sticps_deliver_wait(client, token, strlen(token), &delivery, NULL);
    if (code == STICPS_OK)
        assert_int_equal(sticps_delivery_tries(delivery, 0), 2);
    sticps_delivery_free(delivery);
    return code;
}

static enum sticps_err call_refused(void)
{
    tls_server_status(cps, "403 No", "Content-Type: application/problem+json\r\n",
                      "{\"code\":\"STALE_DATE\",\"detail\":\"too old\"}");
    struct sticps_delivery *delivery = NULL;
    enum sticps_err code = sticps_deliver_wait(client, token, strlen(token), &delivery, NULL);
    sticps_delivery_free(delivery);
    return code;
}

static enum sticps_err call_inbox(void)
{
    struct sticps_inbox *inbox = NULL;
    int call = 7;
    tls_server_status(cps, "201 Created", "", "");
    enum sticps_err code = sticps_inbox_new(&inbox, NULL);
    if (code == STICPS_OK)
        code = sticps_deliver_to_inbox(client, token, strlen(token), inbox, &call, NULL);
    void *tag = NULL;
    struct pollfd fd = {.fd = sticps_client_fd(client), .events = POLLIN};
    for (int i = 0; code == STICPS_OK && i < 6000 && tag == NULL; i++) {
        poll(&fd, 1, 10);
        enum sticps_err turn = sticps_client_process(client, NULL);
        assert_int_equal(turn, STICPS_OK);
        if (sticps_inbox_next(inbox, &tag, &code, NULL, NULL))
            assert_ptr_equal(tag, &call);
    }
    sticps_inbox_free(inbox);
    return code;
}

static enum sticps_err call_retrieve(void)
{
    const struct sticps_retrieve_request request = {registry, "2025550123", "2025550100", "secret",
                                                    100};
    struct sticps_passports *passports = NULL;
    tls_server_answer(cps, "Content-Type: application/json\r\n", "{\"passports\":[\"a.b.c\"]}");
    enum sticps_err code = sticps_retrieve_wait(client, &request, &passports, NULL);
    if (code == STICPS_OK)
        assert_string_equal(sticps_passports_get(passports, 0), "a.b.c");
    sticps_passports_free(passports);
    return code;
}

static enum sticps_err call_provision(void)
{
    const struct sticps_provision_request request = {STICPS_PROVISION_PUT,
                                                     registry,
                                                     "sp",
                                                     "1234",
                                                     "https://a.example.com/cps",
                                                     key_path,
                                                     "https://certs.example.com/one"};
    char *answer = NULL;
    tls_server_answer(cps, "Content-Type: application/json\r\n", "{\"spc\":\"1234\"}");
    enum sticps_err code = sticps_provision_wait(client, &request, &answer, NULL);
    if (code == STICPS_OK)
        assert_string_equal(answer, "{\"spc\":\"1234\"}");
    give_back(answer);
    return code;
}

/* Another number each time, which ENUM must be asked about; what it cannot be asked is a number
 * that it does not know. */
static enum sticps_err call_resolve_wait(void)
{
    static unsigned count;
    char number[16];
    struct sticps_answer *answer = sticps_answer_new();
    if (answer == NULL)
        return STICPS_ERR_NO_MEMORY;
    snprintf(number, sizeof(number), "503555%04u", count++);
    enum sticps_err code = sticps_resolve_wait(client, number, answer, NULL);
    sticps_answer_free(answer);
    return code;
}

static enum sticps_err call_stats(void)
{
    struct sticps_stats *stats = NULL;
    enum sticps_err code = sticps_stats_take(client, &stats, NULL);
    sticps_stats_free(stats);
    return code;
}

static const struct call {
    const char *name;
    enum sticps_err (*call)(void);
    enum sticps_err expected;
} calls[] = {
    {"options", call_options, STICPS_OK},
    {"client", call_client, STICPS_OK},
    {"build", call_build, STICPS_OK},
    {"open", call_open, STICPS_OK},
    {"set npdb", call_set_npdb, STICPS_OK},
    {"fetch", call_fetch, STICPS_OK},
    {"refresh", call_refresh, STICPS_OK},
    {"recover", call_recover, STICPS_OK},
    {"reload", call_reload, STICPS_OK},
    {"load", call_load, STICPS_OK},
    {"x5u", call_x5u, STICPS_OK},
    {"resolve", call_resolve, STICPS_OK},
    {"resolve wait", call_resolve_wait, STICPS_ERR_NO_CARRIER},
    {"deliver", call_deliver, STICPS_OK},
    {"inbox", call_inbox, STICPS_OK},
    {"refused", call_refused, STICPS_ERR_REJECTED},
    {"retrieve", call_retrieve, STICPS_OK},
    {"provision", call_provision, STICPS_OK},
    {"stats", call_stats, STICPS_OK},
    {"challenged", call_challenged, STICPS_OK},
};

/* ---- the sweep ---- */

static void sweep(const struct call *call, bool all_after)
{
    for (long which = 1;; which++) {
        failed = false;
        for_good = all_after;
        countdown = which;
        enum sticps_err code = call->call();
        countdown = 0;
        if (!failed) {
            if (code != call->expected)
                fail_msg("%s: %s", call->name, sticps_err_name(code));
            assert_true(which > 1); /* or nothing was tried */
            print_message("%s: %ld\n", call->name, which - 1);
            return;
        }
        if (code != call->expected && code != STICPS_ERR_NO_MEMORY)
            fail_msg("%s: allocation %ld: %s", call->name, which, sticps_err_name(code));
        now += 40; /* beyond what a failed certificate is remembered */
        code = call->call();
        if (code != call->expected)
            fail_msg("%s: the try after allocation %ld: %s", call->name, which,
                     sticps_err_name(code));
        assert_true(which < 10000);
    }
}

static void sweep_all(bool all_after)
{
    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
        sweep(&calls[i], all_after);
}

static void test_one_of_ours_fails(void **state)
{
    (void)state;
    sweep_all(false);
}

static void test_all_of_ours_fail_from_one_on(void **state)
{
    (void)state;
    sweep_all(true);
}

static void test_the_allocator_stays(void **state)
{
    (void)state;
    struct sticps_error err;
    assert_int_equal(sticps_set_allocator(malloc, calloc, realloc, free, &err), STICPS_ERR_USAGE);
    assert_non_null(strstr(err.text, "before any other call"));
}

/* The last: everything is freed. */
static void test_nothing_is_left(void **state)
{
    (void)state;
    assert_true(atomic_load(&alive[OWN]) > 0);
    sticps_client_free(client);
    client = NULL;
    assert_int_equal(atomic_load(&alive[OWN]), 0);
    assert_int_equal(atomic_load(&alive[JSON]), 0);
    assert_int_equal(atomic_load(&alive[CURL_S]), (long)(intptr_t)*state);
}

/* ---- around them ---- */

static int set_up(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    strcpy(dir, "/tmp/sticps-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(state_dir, sizeof(state_dir), "%s/state", dir);
    snprintf(npdb_path, sizeof(npdb_path), "%s/numbers.npdb", dir);
    write_text(csv_path, sizeof(csv_path), "blocks.csv", "202555,1234\n303555,5678\n");
    write_text(override_path, sizeof(override_path), "override.csv", "5678,1234\n");
    lists = tls_server_start();
    certs = tls_server_start();
    cps = tls_server_start();
    snprintf(list_url, sizeof(list_url), "https://127.0.0.1:%u/list", lists->port);
    snprintf(chain_url, sizeof(chain_url), "https://127.0.0.1:%u/chain", certs->port);
    snprintf(cps_url, sizeof(cps_url), "https://127.0.0.1:%u/cps/company/1234", cps->port);
    snprintf(registry, sizeof(registry), "https://127.0.0.1:%u", cps->port);
    make_lists();
    *state = (void *)(intptr_t)atomic_load(&alive[CURL_S]);
    assert_int_equal(make_client(&client), STICPS_OK);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (calls[i].call() != calls[i].expected)
            fail_msg("%s", calls[i].name); /* with all memory */
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    tls_server_stop(lists);
    tls_server_stop(certs);
    tls_server_stop(cps);
    free(list_text);
    free(far_text);
    free(token);
    snprintf(command, sizeof(command), "rm -r '%s'", dir);
    return system(command) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_of_ours_fails),
        cmocka_unit_test(test_all_of_ours_fail_from_one_on),
        cmocka_unit_test(test_the_allocator_stays),
        cmocka_unit_test(test_nothing_is_left),
    };
    if (sticps_set_allocator(own_malloc, own_calloc, NULL, give_back, NULL) != STICPS_ERR_USAGE ||
        sticps_set_allocator(own_malloc, own_calloc, own_realloc, give_back, NULL) != STICPS_OK)
        return 1;
    json_set_alloc_funcs(json_take, give_back);
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_take, give_back, curl_change, curl_strdup,
                             curl_calloc) != CURLE_OK)
        return 1;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

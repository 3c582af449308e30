/* Anchors whose files change while a client runs: the new ones count at the next fetch, and a file
 * that cannot be used changes nothing. */
#include "client/client.h"
#include "sticps/sticps.h"

#include "tests/unit/tls_server.h"

/* An STI-PA: a root, and a signer below it whose certificate has an x5u of its own. */
struct pa {
    EVP_PKEY *root_key, *key;
    char *root_pem, *signer_pem;
    char x5u[128];
};

static struct tls_server *server;
static struct pa old_pa, new_pa;
static char dir[64], path[128], url[128];

static void make_pa(struct pa *pa, const char *name)
{
    pa->root_key = pki_p256();
    pa->key = pki_p256();
    struct pki_spec spec = pki_ca_spec(name, pa->root_key, NULL, NULL);
    X509 *root = pki_make(&spec);
    spec = pki_signer_spec(pa->key, root, pa->root_key);
    X509 *signer = pki_make(&spec);
    pa->root_pem = pki_pem(&root, 1);
    pa->signer_pem = pki_pem(&signer, 1);
    snprintf(pa->x5u, sizeof(pa->x5u), "https://127.0.0.1:%u/%s", server->port, name);
    X509_free(root);
    X509_free(signer);
}

static void free_pa(struct pa *pa)
{
    EVP_PKEY_free(pa->root_key);
    EVP_PKEY_free(pa->key);
    free(pa->root_pem);
    free(pa->signer_pem);
}

static int set_up(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN); /* of the server; the library raises none */
    server = tls_server_start();
    make_pa(&old_pa, "old");
    make_pa(&new_pa, "new");
    snprintf(url, sizeof(url), "https://127.0.0.1:%u/list", server->port);
    strcpy(dir, "/tmp/sticps-anchors-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/anchors.pem", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_server_stop(server);
    free_pa(&old_pa);
    free_pa(&new_pa);
    unlink(path);
    rmdir(dir);
    return 0;
}

/* As an operator's tool does it: written beside, renamed. NULL: removed. */
static void put_file(const char *text, const char *more)
{
    char temp[sizeof(path) + 4];
    if (text == NULL) {
        unlink(path);
        return;
    }
    snprintf(temp, sizeof(temp), "%s.new", path);
    FILE *file = fopen(temp, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0 && fputs(more, file) >= 0);
    fclose(file);
    assert_int_equal(rename(temp, path), 0);
}

static int64_t test_clock(void *context)
{
    (void)context;
    return PKI_NOW;
}

static struct sticps_client *new_client(void)
{
    struct sticps_options *options = sticps_options_new();
    struct sticps_client *client = NULL;
    sticps_options_set_lab(options, true);
    sticps_options_set_clock(options, test_clock, NULL);
    assert_int_equal(sticps_options_add_tls_ca_file(options, server->ca_path, NULL), STICPS_OK);
    assert_int_equal(sticps_options_add_anchor_file(options, path, NULL), STICPS_OK);
    assert_int_equal(sticps_client_new(options, &client, NULL), STICPS_OK);
    sticps_options_free(options);
    return client;
}

/* How the fetch of a list that `pa` signs ends. */
static enum sticps_err fetch(struct sticps_client *client, const struct pa *pa, int64_t sequence)
{
    const struct cps_entry entries[] = {{{"1234"}, "https://cps.example.com/x"}};
    struct sticps_list *list = NULL;
    char *jws = NULL;
    size_t len = 0;
    assert_int_equal(signed_list_build(entries, 1, sequence, PKI_NOW + PKI_DAY, pa->x5u, pa->key,
                                       &jws, &len, NULL),
                     STICPS_OK);
    /* this server gives the same answer to every request */
    x5u_cache_offer(client->x5u, pa->x5u, pa->signer_pem, strlen(pa->signer_pem), PKI_NOW + 3600);
    tls_server_answer(server, "", jws);
    enum sticps_err code =
        sticps_list_fetch_wait(client, STICPS_LIST_CPS, url, &list, NULL, NULL, NULL);
    sticps_list_unref(list);
    free(jws);
    return code;
}

static uint64_t events(const struct sticps_client *client, enum sticps_err code)
{
    return sticps_event_count(client, STICPS_EVENT_ANCHORS, code);
}

static void test_rotation(void **state)
{
    (void)state;
    put_file(old_pa.root_pem, "");
    struct sticps_client *client = new_client();
    assert_int_equal(fetch(client, &old_pa, 1), STICPS_OK);
    assert_int_equal(fetch(client, &new_pa, 2), STICPS_ERR_SIGNER);
    assert_int_equal(events(client, STICPS_OK), 0); /* read once is enough */

    put_file(old_pa.root_pem, new_pa.root_pem);
    assert_int_equal(fetch(client, &new_pa, 2), STICPS_OK);
    assert_int_equal(fetch(client, &old_pa, 3), STICPS_OK);
    assert_int_equal(events(client, STICPS_OK), 1);

    put_file(new_pa.root_pem, "");
    assert_int_equal(fetch(client, &old_pa, 4), STICPS_ERR_SIGNER);
    assert_int_equal(fetch(client, &new_pa, 4), STICPS_OK);
    assert_int_equal(events(client, STICPS_OK), 2);
    sticps_client_free(client);
}

static void test_a_file_that_cannot_be_used_changes_nothing(void **state)
{
    static const char *const texts[] = {
        "", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", NULL};
    (void)state;
    int64_t sequence = 1;
    put_file(old_pa.root_pem, "");
    struct sticps_client *client = new_client();
    assert_int_equal(fetch(client, &old_pa, sequence++), STICPS_OK);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        put_file(texts[i], "");
        assert_int_equal(fetch(client, &old_pa, sequence++), STICPS_OK);
        assert_int_equal(fetch(client, &old_pa, sequence++), STICPS_OK);
        assert_int_equal(events(client, STICPS_ERR_FILE), i + 1); /* once for each change */
    }
    /* half a file: the new anchor alone is no reason to trust it and forget the other */
    char *cut = strndup(new_pa.root_pem, strlen(new_pa.root_pem) - 20);
    put_file(new_pa.root_pem, cut);
    assert_int_equal(fetch(client, &new_pa, sequence), STICPS_ERR_SIGNER);
    assert_int_equal(fetch(client, &old_pa, sequence++), STICPS_OK);
    free(cut);
    put_file(old_pa.root_pem, new_pa.root_pem);
    assert_int_equal(fetch(client, &new_pa, sequence), STICPS_OK);
    assert_int_equal(events(client, STICPS_OK), 1);
    sticps_client_free(client);
}

static void test_reload(void **state)
{
    (void)state;
    struct sticps_error err = {0};
    put_file(old_pa.root_pem, "");
    struct sticps_client *client = new_client();
    assert_int_equal(sticps_client_reload(client, &err), STICPS_OK);
    put_file("hello", "");
    for (int i = 0; i < 2; i++) { /* says it each time it is asked */
        assert_int_equal(sticps_client_reload(client, &err), STICPS_ERR_FILE);
        assert_string_equal(err.where, path);
        assert_non_null(strstr(err.text, "stay in use"));
    }
    assert_int_equal(sticps_client_reload(client, NULL), STICPS_ERR_FILE);
    assert_int_equal(fetch(client, &old_pa, 1), STICPS_OK);
    put_file(new_pa.root_pem, "");
    assert_int_equal(sticps_client_reload(client, &err), STICPS_OK);
    assert_int_equal(events(client, STICPS_OK), 1);
    assert_int_equal(fetch(client, &new_pa, 2), STICPS_OK);
    assert_int_equal(events(client, STICPS_OK), 1);
    sticps_client_free(client);
}

/* Anchors given as bytes stay beside those of a file. */
static void test_bytes_beside_a_file(void **state)
{
    (void)state;
    struct sticps_options *options = sticps_options_new();
    struct anchor_set *set = NULL;
    struct events counts;
    put_file(old_pa.root_pem, "");
    assert_int_equal(
        sticps_options_add_anchor(options, new_pa.root_pem, strlen(new_pa.root_pem), NULL),
        STICPS_OK);
    assert_int_equal(sticps_options_add_anchor_file(options, path, NULL), STICPS_OK);
    events_init(&counts, options);
    assert_int_equal(anchor_set_new(&options->anchors, &counts, &set, NULL), STICPS_OK);
    struct anchors *before = anchor_set_get(set);
    assert_int_equal(anchors_count(before), 2);
    put_file(old_pa.root_pem, new_pa.root_pem);
    assert_int_equal(anchor_set_look(set, false, NULL), STICPS_OK);
    struct anchors *after = anchor_set_get(set);
    assert_int_equal(anchors_count(after), 3);
    assert_int_equal(anchors_count(before), 2); /* whoever judges by them goes on */
    anchors_free(before);
    anchors_free(after);
    anchor_set_free(set);
    sticps_options_free(options);
}

static void *reload_often(void *client)
{
    for (int i = 0; i < 200; i++)
        assert_int_equal(sticps_client_reload(client, NULL), STICPS_OK);
    return NULL;
}

static void test_reloads_from_many_threads(void **state)
{
    (void)state;
    pthread_t threads[3];
    put_file(old_pa.root_pem, "");
    struct sticps_client *client = new_client();
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reload_often, client), 0);
    for (int i = 1; i <= 20; i++) {
        put_file(old_pa.root_pem, i % 2 ? new_pa.root_pem : "");
        assert_int_equal(fetch(client, &old_pa, i), STICPS_OK);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    sticps_client_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_a_file_that_cannot_be_used_changes_nothing),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_bytes_beside_a_file),
        cmocka_unit_test(test_reloads_from_many_threads),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

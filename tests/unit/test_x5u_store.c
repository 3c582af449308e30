/* Certificate chains on disk: kept for as long as they may be, and whatever else is in the folder
 * is passed over. */
#include "client/x5u_store.h"

#include "client/sha256.h"
#include "tests/unit/pki.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define URL "https://certs.example.com/a.pem"
#define HOUR 3600

static char *chain, *brief; /* in `brief` the intermediate ends after half an hour */
static char dir[64];
static struct sticps_options *options;

static char *make_chain(int64_t intermediate_ends)
{
    EVP_PKEY *keys[3] = {pki_p256(), pki_p256(), pki_p256()};
    struct pki_spec spec = pki_ca_spec("root", keys[0], NULL, NULL);
    X509 *root = pki_make(&spec);
    spec = pki_ca_spec("intermediate", keys[1], root, keys[0]);
    spec.ends = intermediate_ends;
    X509 *certs[2];
    certs[1] = pki_make(&spec);
    spec = pki_sti_spec(keys[2], certs[1], keys[1]);
    certs[0] = pki_make(&spec);
    char *pem = pki_pem(certs, 2);
    X509_free(certs[0]);
    X509_free(certs[1]);
    X509_free(root);
    for (int i = 0; i < 3; i++)
        EVP_PKEY_free(keys[i]);
    return pem;
}

static int set_up(void **state)
{
    (void)state;
    chain = make_chain(0);
    brief = make_chain(HOUR / 2);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(chain);
    free(brief);
    return 0;
}

static void remove_all(const char *path)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

static int begin(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/sticps-x5u-XXXXXX");
    assert_non_null(mkdtemp(dir));
    options = sticps_options_new();
    assert_int_equal(sticps_options_set_state_dir(options, dir, NULL), STICPS_OK);
    return 0;
}

static int end(void **state)
{
    (void)state;
    remove_all(dir);
    sticps_options_free(options);
    return 0;
}

static struct x5u_store *open_store(void)
{
    struct x5u_store *store = NULL;
    assert_int_equal(x5u_store_new(options, &store, NULL), STICPS_OK);
    return store;
}

static const char *path_of(const char *url)
{
    static char path[256];
    char name[65];
    assert_int_equal(sha256_hex(url, strlen(url), name, NULL), STICPS_OK);
    snprintf(path, sizeof(path), "%s/x5u/%s.chain", dir, name);
    return path;
}

static size_t count_files(void)
{
    char path[128];
    size_t count = 0;
    snprintf(path, sizeof(path), "%s/x5u", dir);
    DIR *folder = opendir(path);
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL)
        count += entry->d_name[0] != '.';
    if (folder != NULL)
        closedir(folder);
    return count;
}

static bool reads(const char *url, int64_t now, const char *expected, int64_t expected_until)
{
    struct x5u_store *store = open_store();
    int64_t until = 0;
    char *pem = x5u_store_read(store, url, now, &until);
    bool same = pem != NULL && strcmp(pem, expected) == 0;
    if (pem != NULL)
        assert_int_equal(until, expected_until);
    free(pem);
    x5u_store_free(store);
    return same;
}

static void put(const char *url, const char *pem, int64_t until)
{
    struct x5u_store *store = open_store();
    x5u_store_write(store, url, pem, PKI_NOW, until);
    x5u_store_free(store);
}

/* ---- for how long ---- */

static void test_kept_until_it_expires(void **state)
{
    (void)state;
    assert_false(reads(URL, PKI_NOW, chain, 0));
    put(URL, chain, PKI_NOW + HOUR);
    assert_true(reads(URL, PKI_NOW, chain, PKI_NOW + HOUR));
    assert_true(reads(URL, PKI_NOW + HOUR - 1, chain, PKI_NOW + HOUR));
    assert_false(reads(URL, PKI_NOW + HOUR, chain, 0));
    assert_false(reads("https://certs.example.com/b.pem", PKI_NOW, chain, 0));
    put(URL, brief, PKI_NOW + 60); /* replaced */
    assert_true(reads(URL, PKI_NOW, brief, PKI_NOW + 60));
    assert_int_equal(count_files(), 1);
}

static void test_never_past_a_not_after(void **state)
{
    (void)state;
    put(URL, brief, PKI_NOW + HOUR);
    assert_true(reads(URL, PKI_NOW + HOUR / 2 - 1, brief, PKI_NOW + HOUR / 2));
    assert_false(reads(URL, PKI_NOW + HOUR / 2, brief, 0));

    /* nor when the file itself says so */
    char command[512];
    snprintf(command, sizeof(command), "sed -i 's/^expires: .*/expires: %lld/' %s",
             (long long)PKI_NOW + HOUR, path_of(URL));
    assert_int_equal(system(command), 0);
    assert_true(reads(URL, PKI_NOW + HOUR / 2 - 1, brief, PKI_NOW + HOUR / 2));
    assert_false(reads(URL, PKI_NOW + HOUR / 2, brief, 0));
}

static void test_what_may_not_be_kept_goes(void **state)
{
    (void)state;
    put(URL, chain, PKI_NOW + HOUR);
    put(URL, chain, PKI_NOW); /* no-store */
    assert_int_equal(count_files(), 0);
    put(URL, chain, PKI_NOW + HOUR);
    put(URL, "no certificate", PKI_NOW + HOUR);
    assert_int_equal(count_files(), 0);
}

/* ---- what else may be there ---- */

static char *file_text(size_t *len)
{
    FILE *file = fopen(path_of(URL), "r");
    char *text = calloc(1, 65536);
    assert_non_null(file);
    *len = fread(text, 1, 65535, file);
    fclose(file);
    return text;
}

static void write_text(const char *path, const char *text, size_t len)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    fclose(file);
}

static void test_a_torn_file_is_passed_over(void **state)
{
    (void)state;
    size_t len = 0;
    put(URL, chain, PKI_NOW + HOUR);
    char *text = file_text(&len);
    for (size_t cut = 0; cut < len; cut += cut < 200 || cut > len - 100 ? 1 : 37) {
        write_text(path_of(URL), text, cut);
        assert_false(reads(URL, PKI_NOW, chain, PKI_NOW + HOUR));
    }
    for (size_t at = 0; at < len; at += 512) { /* a block that never reached the disk */
        char *holed = malloc(len);
        memcpy(holed, text, len);
        memset(holed + at, 0, len - at < 512 ? len - at : 512);
        write_text(path_of(URL), holed, len);
        free(holed);
        assert_false(reads(URL, PKI_NOW, chain, PKI_NOW + HOUR));
    }
    put(URL, chain, PKI_NOW + HOUR);
    assert_true(reads(URL, PKI_NOW, chain, PKI_NOW + HOUR));
    free(text);
}

static void test_foreign_files_are_passed_over(void **state)
{
    static const char *const texts[] = {
        "",
        "hello",
        "sticps x5u 2\nx5u: " URL "\nexpires: 1700003600\nend\n",
        "sticps x5u 1\nx5u: " URL "\nexpires: 1700003600\nend\n",
        "sticps x5u 1\nx5u: " URL "\nexpires: soon\nend\n",
        "sticps x5u 1\nx5u: " URL "\nexpires: 99999999999999999999\nend\n",
    };
    (void)state;
    put(URL, chain, PKI_NOW + HOUR);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        write_text(path_of(URL), texts[i], strlen(texts[i]));
        assert_false(reads(URL, PKI_NOW, chain, 0));
    }
    /* the file of another URL under this one's name */
    put("https://evil.example.com/x", chain, PKI_NOW + HOUR);
    char other[256];
    snprintf(other, sizeof(other), "%s", path_of("https://evil.example.com/x"));
    assert_int_equal(rename(other, path_of(URL)), 0);
    assert_false(reads(URL, PKI_NOW, chain, 0));
    /* a link, even to a good one; a pipe, which must not hang; a folder */
    put(URL, chain, PKI_NOW + HOUR);
    assert_int_equal(rename(path_of(URL), other), 0);
    assert_int_equal(symlink(other, path_of(URL)), 0);
    assert_false(reads(URL, PKI_NOW, chain, 0));
    unlink(path_of(URL));
    assert_int_equal(mkfifo(path_of(URL), 0600), 0);
    assert_false(reads(URL, PKI_NOW, chain, 0));
    put(URL, chain, PKI_NOW + HOUR);
    assert_true(reads(URL, PKI_NOW, chain, PKI_NOW + HOUR));
    unlink(path_of(URL));
    assert_int_equal(mkdir(path_of(URL), 0700), 0);
    put(URL, chain, PKI_NOW + HOUR); /* cannot be, and is no error */
    assert_false(reads(URL, PKI_NOW, chain, 0));
}

static void test_no_folder(void **state)
{
    (void)state;
    struct x5u_store *store = NULL;
    struct sticps_options *none = sticps_options_new();
    int64_t until;
    assert_int_equal(x5u_store_new(none, &store, NULL), STICPS_OK);
    assert_null(store);
    x5u_store_write(store, URL, chain, PKI_NOW, PKI_NOW + HOUR);
    assert_null(x5u_store_read(store, URL, PKI_NOW, &until));
    sticps_options_free(none);

    remove_all(dir); /* made with what is above it */
    put(URL, chain, PKI_NOW + HOUR);
    assert_true(reads(URL, PKI_NOW, chain, PKI_NOW + HOUR));
    remove_all(dir); /* a file is in the way */
    write_text(dir, "", 0);
    put(URL, chain, PKI_NOW + HOUR);
    assert_false(reads(URL, PKI_NOW, chain, 0));
}

static void test_a_rehearsal_keeps_its_hands_off(void **state)
{
    (void)state;
    put(URL, chain, PKI_NOW + HOUR);
    size_t files = count_files();
    options->rehearsal = true;
    assert_true(reads(URL, PKI_NOW, chain, PKI_NOW + HOUR));
    put("https://certs.example.com/other", chain, PKI_NOW + HOUR);
    put(URL, chain, PKI_NOW); /* otherwise it would go */
    assert_int_equal(count_files(), files);
    assert_true(reads(URL, PKI_NOW, chain, PKI_NOW + HOUR));
}

/* ---- room ---- */

static void test_the_oldest_go(void **state)
{
    (void)state;
    char path[256], mine[256], left_over[256];
    put(URL, chain, PKI_NOW + HOUR);
    for (int i = 0; i < X5U_STORE_FILES + 100; i++) {
        struct timespec times[2] = {{1000 + i, 0}, {1000 + i, 0}};
        snprintf(path, sizeof(path), "%s/x5u/%064x.chain", dir, i);
        write_text(path, "x", 1);
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    }
    snprintf(mine, sizeof(mine), "%s/x5u/README", dir);
    write_text(mine, "x", 1);
    snprintf(left_over, sizeof(left_over), "%s/x5u/new-0123456789abcdef", dir);
    write_text(left_over, "x", 1);
    const struct timespec long_ago[2] = {{1000, 0}, {1000, 0}};
    assert_int_equal(utimensat(AT_FDCWD, left_over, long_ago, 0), 0);

    put("https://certs.example.com/b.pem", chain, PKI_NOW + HOUR);
    assert_int_equal(count_files(), X5U_STORE_FILES + 1); /* and README */
    assert_int_equal(access(mine, F_OK), 0);
    assert_int_not_equal(access(left_over, F_OK), 0);
    assert_true(reads(URL, PKI_NOW, chain, PKI_NOW + HOUR));
    snprintf(path, sizeof(path), "%s/x5u/%064x.chain", dir, 100);
    assert_int_not_equal(access(path, F_OK), 0);
    snprintf(path, sizeof(path), "%s/x5u/%064x.chain", dir, X5U_STORE_FILES + 99);
    assert_int_equal(access(path, F_OK), 0);
}

static void test_bytes_are_bounded_too(void **state)
{
    (void)state;
    char path[256];
    put(URL, chain, PKI_NOW + HOUR);
    for (int i = 0; i < 20; i++) {
        snprintf(path, sizeof(path), "%s/x5u/%064x.chain", dir, i);
        write_text(path, "x", 1);
        assert_int_equal(truncate(path, X5U_STORE_BYTES / 10), 0);
        struct timespec times[2] = {{1000 + i, 0}, {1000 + i, 0}};
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    }
    put(URL, chain, PKI_NOW + HOUR);
    assert_int_equal(count_files(), 10); /* nine of these, and the chain */
    assert_true(reads(URL, PKI_NOW, chain, PKI_NOW + HOUR));
}

/* ---- many writers ---- */

static void *write_often(void *argument)
{
    (void)argument;
    struct x5u_store *store = open_store();
    char url[64];
    for (int i = 0; i < 200; i++) {
        snprintf(url, sizeof(url), "https://certs.example.com/%d", i % 10);
        x5u_store_write(store, url, i % 2 ? chain : brief, PKI_NOW, PKI_NOW + 60);
        int64_t until;
        char *pem = x5u_store_read(store, url, PKI_NOW, &until);
        assert_non_null(pem); /* never torn, whoever replaces it meanwhile */
        free(pem);
    }
    x5u_store_free(store);
    return NULL;
}

static void test_writers_do_not_harm_each_other(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_often, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(count_files(), 10);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(test_kept_until_it_expires),           TEST(test_never_past_a_not_after),
        TEST(test_what_may_not_be_kept_goes),       TEST(test_a_torn_file_is_passed_over),
        TEST(test_foreign_files_are_passed_over),   TEST(test_no_folder),
        TEST(test_a_rehearsal_keeps_its_hands_off), TEST(test_the_oldest_go),
        TEST(test_bytes_are_bounded_too),           TEST(test_writers_do_not_harm_each_other),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* server/registry/published_list: the forms of a list, their ETags, and who gets gzip. */
#include "server/registry/published_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void test_accepts_gzip(void **state)
{
    static const struct {
        const char *header;
        bool wanted;
    } cases[] = {
        {NULL, false},
        {"", false},
        {"gzip", true},
        {"GZip", true},
        {"x-gzip", true},
        {"gzip;q=1", true},
        {"gzip;q=0.001", true},
        {"gzip ; q=0.5", true},
        {"br, gzip", true},
        {"br;q=1.0,gzip;q=0.1 , *;q=0", true},
        {"*", true},
        {"*;q=0.5", true},
        {"br, *", true},
        {"gzip;q=0", false},
        {"gzip;q=0.0", false},
        {"gzip; q=0.000", false},
        {"gzip;Q=0", false},
        {"gzip;q=0, *", false},
        {"*, gzip;q=0", false},
        {"*;q=0", false},
        {"identity", false},
        {"identity;q=1, *;q=0", false},
        {"gzi", false},
        {"gzipp", false},
        {"agzip", false},
        {"br", false},
        {",,,", false},
        {" , gzip", true},
        {";q=1", false},
        {"q=0", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (accepts_gzip(cases[i].header) != cases[i].wanted)
            fail_msg("\"%s\"", cases[i].header != NULL ? cases[i].header : "(null)");
}

static char *make_jws(size_t len)
{
    char *jws = malloc(len + 1);

    assert_non_null(jws);
    for (size_t i = 0; i < len; i++)
        jws[i] = "abcdefgh-_XYZ019"[(i * i + i / 7) % 16];
    jws[len] = '\0';
    return jws;
}

static struct published_list *make_list(int64_t sequence, const char *jws)
{
    struct published_list *list = NULL;
    struct sticps_error err;

    assert_int_equal(
        published_list_new(LIST_CPS, sequence, 1590000000, jws, strlen(jws), &list, &err),
        STICPS_OK);
    return list;
}

/* Inflates and compares. */
static void assert_packs(struct shared_bytes *packed, struct shared_bytes *plain)
{
    size_t packed_len, plain_len;
    const void *packed_data = shared_bytes_data(packed, &packed_len);
    const void *plain_data = shared_bytes_data(plain, &plain_len);
    z_stream stream = {0};
    char *out = malloc(plain_len + 1);

    assert_non_null(out);
    assert_true(packed_len < plain_len);
    stream.next_in = (unsigned char *)(uintptr_t)packed_data;
    stream.avail_in = (uInt)packed_len;
    stream.next_out = (unsigned char *)out;
    stream.avail_out = (uInt)plain_len + 1;
    assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.total_out, plain_len);
    assert_memory_equal(out, plain_data, plain_len);
    inflateEnd(&stream);
    free(out);
}

static void test_long_list(void **state)
{
    char *jws = make_jws(200000);
    struct published_list *list = make_list(9007199254740991, jws);
    const char *etags[] = {list->bare.etag, list->bare.gzip_etag, list->envelope.etag,
                           list->envelope.gzip_etag};
    size_t len;
    const void *data = shared_bytes_data(list->bare.plain, &len);

    (void)state;
    assert_int_equal(len, 200000);
    assert_memory_equal(data, jws, len);
    assert_packs(list->bare.gzip, list->bare.plain);
    assert_packs(list->envelope.gzip, list->envelope.plain);
    for (size_t i = 0; i < 4; i++) {
        assert_true(etags[i][0] == '"' && etags[i][strlen(etags[i]) - 1] == '"');
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(etags[i], etags[j]);
    }
    char alone[ETAG_SIZE];
    published_list_etag(9007199254740991, jws, 200000, alone);
    assert_string_equal(alone, list->bare.etag);
    published_list_unref(list);
    free(jws);
}

static void test_envelope(void **state)
{
    struct published_list *list = make_list(7, "aa.bb.cc");
    size_t len;
    const char *text = shared_bytes_data(list->envelope.plain, &len);
    static const char expected[] = "{\"status\":\"success\",\"message\":\"CPS list 7, expires "
                                   "2020-05-20T18:40:00Z\",\"cpsList\":\"aa.bb.cc\"}";

    (void)state;
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(text, expected, len);
    assert_null(list->bare.gzip);
    assert_null(list->envelope.gzip);
    published_list_unref(list);
}

/* Over 1 KiB is packed, 1 KiB is not; the envelope is longer by 90 bytes or so. */
static void test_edge(void **state)
{
    static const struct {
        size_t len;
        bool packed, envelope;
    } cases[] = {{900, false, false}, {1024, false, true}, {1025, true, true}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *jws = make_jws(cases[i].len);
        struct published_list *list = make_list(1, jws);

        assert_int_equal(list->bare.gzip != NULL, cases[i].packed);
        assert_int_equal(list->envelope.gzip != NULL, cases[i].envelope);
        if (cases[i].envelope)
            assert_packs(list->envelope.gzip, list->envelope.plain);
        published_list_unref(list);
        free(jws);
    }
}

static void test_other_bytes_have_another_etag(void **state)
{
    struct published_list *a = make_list(3, "a.b.c"), *b = make_list(3, "a.b.d");

    (void)state;
    assert_string_not_equal(a->bare.etag, b->bare.etag);
    assert_ptr_equal(published_list_ref(a), a);
    published_list_unref(a);
    published_list_unref(a);
    published_list_unref(b);
    published_list_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts_gzip),
        cmocka_unit_test(test_long_list),
        cmocka_unit_test(test_envelope),
        cmocka_unit_test(test_edge),
        cmocka_unit_test(test_other_bytes_have_another_etag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* server/registry/gzip_text: what zlib's own inflate makes of the files put together from parts. */
#include "server/registry/gzip_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static char *make_text(size_t len, unsigned step)
{
    char *text = malloc(len + 1);

    assert_non_null(text);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)(i * i / step + i * 7);
    return text;
}

static void assert_file(const struct gzip_text *packed, const char *before, size_t before_len,
                        const char *text, size_t text_len, const char *after, size_t after_len)
{
    size_t len, want = before_len + text_len + after_len;
    unsigned char *file = gzip_text_file(packed, before, before_len, after, after_len, &len);
    unsigned char *out = malloc(want + 1);
    z_stream stream = {.next_in = file, .avail_in = (uInt)len, .next_out = out};

    assert_non_null(file);
    assert_non_null(out);
    stream.avail_out = (uInt)want + 1;
    assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END); /* CRC and length hold */
    assert_int_equal(stream.avail_in, 0);
    assert_int_equal(stream.total_out, want);
    assert_memory_equal(out, before, before_len);
    assert_memory_equal(out + before_len, text, text_len);
    assert_memory_equal(out + before_len + text_len, after, after_len);
    inflateEnd(&stream);
    free(out);
    free(file);
}

static void test_parts_of_every_size(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 1024, 32768, 65535, 65536, 3000000};
    static const size_t ends[] = {0, 1, 90, 65535};
    char *around = make_text(65536, 3);

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (unsigned step = 1; step < 5000; step += 1666) {
            char *text = make_text(sizes[i], step);
            struct gzip_text packed;

            assert_true(gzip_text_make(&packed, text, sizes[i]));
            for (size_t j = 0; j < sizeof(ends) / sizeof(ends[0]); j++) {
                assert_file(&packed, around, ends[j], text, sizes[i], around + 1, 2);
                assert_file(&packed, "", 0, text, sizes[i], around, ends[j]);
            }
            gzip_text_clear(&packed);
            free(text);
        }
    free(around);
}

static void test_limits(void **state)
{
    char *around = make_text(65536, 3);
    struct gzip_text packed;
    size_t len;

    (void)state;
    assert_false(gzip_text_make(&packed, "", ((size_t)1 << 30) + 1));
    assert_true(gzip_text_make(&packed, "a", 1));
    assert_null(gzip_text_file(&packed, around, 65536, "", 0, &len));
    assert_null(gzip_text_file(&packed, "", 0, around, 65536, &len));
    gzip_text_clear(&packed);
    gzip_text_clear(&packed);
    free(around);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_of_every_size),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

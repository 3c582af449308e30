/* Which key of a configuration has changed. */
#include "server/http/reload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char base[] = "---\n"
                           "listen:\n"
                           "- 127.0.0.1:1\n"
                           "- 127.0.0.1:2\n"
                           "tls:\n"
                           "  key: a\n"
                           "database:\n"
                           "  url: postgresql://u:secret@h/d\n"
                           "signer:\n"
                           "  id: 1\n"
                           "  key: a\n"
                           "anchors:\n"
                           "  ca_list:\n"
                           "    period: 5\n"
                           "lab: true\n"
                           "...\n";

static void check(const char *before, const char *after, const char *expected)
{
    char key[64] = "nothing";
    bool differs = reload_differs(before, strlen(before), after, strlen(after), key, sizeof(key));
    assert_int_equal(differs, expected != NULL);
    if (expected != NULL)
        assert_string_equal(key, expected);
}

/* `base` with one text in place of another. */
static const char *with(const char *old, const char *fresh)
{
    static char text[1024];
    const char *at = strstr(base, old);
    assert_non_null(at);
    size_t head = (size_t)(at - base);
    memcpy(text, base, head);
    strcpy(text + head, fresh);
    strcat(text, at + strlen(old));
    return text;
}

static void test_keys(void **state)
{
    (void)state;
    check(base, base, NULL);
    check(base, with("id: 1", "id: 2"), "signer.id");
    check(base, with("id: 1\n  key: a", "id: 1\n  key: b"), "signer.key");
    check(base, with("period: 5", "period: 6"), "anchors.ca_list.period");
    check(base, with("lab: true", "lab: false"), "lab");
    check(base, with("lab: true\n", ""), "lab");
    check(base, with("127.0.0.1:2", "127.0.0.1:3"), "listen");
    check(base, with("- 127.0.0.1:2\n", ""), "listen");
    check(base, with("- 127.0.0.1:1\n- 127.0.0.1:2", "- 127.0.0.1:2\n- 127.0.0.1:1"),
          "the order of a list");
    check(base, with("secret@h/d", "other@h/d"), "database.url");
    check(base, with("tls:", "threads: 2\ntls:"), "threads");
    check(base, "", "listen");
    check("", base, "listen");
}

static void test_a_long_key_is_cut(void **state)
{
    char long_text[400], key[16];
    (void)state;
    memset(long_text, 'a', sizeof(long_text));
    memcpy(long_text + sizeof(long_text) - 5, ": 1\n", 5);
    assert_true(reload_differs("", 0, long_text, strlen(long_text), key, sizeof(key)));
    assert_string_equal(key, "aaaaaaaaaaaaaaa");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_a_long_key_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

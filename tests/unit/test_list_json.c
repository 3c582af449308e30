/* The text of a state: what is written is read again, and of what is not right nothing is. */
#include "client/list_json.h"

#include "client/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h> /* after ours: it has a macro fail() */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct list_state state_of_two(void)
{
    struct list_state state = {0};
    char sha256[65];
    for (int64_t sequence = 4; sequence <= 5; sequence++) {
        char jws[16];
        int len = snprintf(jws, sizeof(jws), "a.b.%d", (int)sequence);
        assert_int_equal(sha256_hex(jws, (size_t)len, sha256, NULL), STICPS_OK);
        const struct list_accepted accepted = {.jws = jws,
                                               .jws_len = (size_t)len,
                                               .sha256 = sha256,
                                               .sequence = sequence,
                                               .exp = 1700000000,
                                               .fetched_at = 1699999000,
                                               .source = "https://a.example/l",
                                               .etag = "\"e\"",
                                               .x5u = "https://a.example/c",
                                               .chain = "pem",
                                               .chain_expires = 1699999999};
        assert_int_equal(list_state_take(&state, &accepted, NULL), STICPS_OK);
    }
    return state;
}

static char *text_of_two(void)
{
    struct list_state state = state_of_two();
    char *text = NULL;
    size_t len = 0;
    assert_int_equal(list_json_write(&state, &text, &len, NULL), STICPS_OK);
    assert_int_equal(strlen(text), len);
    list_state_clear(&state);
    return text;
}

static void what_is_written_is_read(void **unused)
{
    (void)unused;
    char *text = text_of_two();
    struct list_state state = {0}, before = state_of_two();
    assert_int_equal(list_json_read(text, strlen(text), &state, NULL), STICPS_OK);
    assert_int_equal(state.floor, 5);
    assert_int_equal(state.sequence, 5);
    assert_int_equal(state.exp, 1700000000);
    assert_int_equal(state.fetched_at, 1699999000);
    assert_int_equal(state.chain_expires, 1699999999);
    assert_string_equal(state.jws, "a.b.5");
    assert_string_equal(state.source, "https://a.example/l");
    assert_string_equal(state.etag, "\"e\"");
    assert_string_equal(state.x5u, "https://a.example/c");
    assert_string_equal(state.chain, "pem");
    assert_int_equal(state.seen_len, 2);
    assert_string_equal(list_state_seen(&state, 4), list_state_seen(&before, 4));
    list_state_clear(&state);
    list_state_clear(&before);
    free(text);
}

/* Replaces the only, or the last, `from`. */
static char *changed(const char *text, const char *from, const char *to)
{
    const char *at = NULL, *next = text;
    while ((next = strstr(next, from)) != NULL)
        at = next++;
    if (at == NULL)
        fail_msg("not in the text: %s", from);
    char *out = NULL;
    assert_true(asprintf(&out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
    return out;
}

#define ZEROS "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0"

static void what_is_not_right_is_refused(void **unused)
{
    static const struct {
        const char *from, *to, *where;
    } rows[] = {
        {"\"format\": 1", "\"format\": 2", "format"},
        {"\"format\": 1", "\"format\": 0", "format"},
        {"\"format\": 1", "\"format\": 1.0", "format"},
        {"\"format\": 1,", "", "format"},
        {"\"floor\": 5", "\"floor\": \"5\"", "floor"},
        {"\"floor\": 5", "\"floor\": -1", "floor"},
        {"\"floor\": 5", "\"floor\": 4", "accepted"},
        {"\"floor\": 5", "\"floor\": 9007199254740992", "floor"},
        {"\"accepted\": [", "\"others\": [", "accepted"},
        {"\"sequence\": 4", "\"sequence\": 6", "sequence"}, /* out of order */
        {"\"sequence\": 4", "\"sequence\": 0", "sequence"},
        {"\"sequence\": 4", "\"sequence\": true", "sequence"},
        {"\"fetchedAt\": 1699999000", "\"fetchedAt\": -1", "fetchedAt"},
        {"\"fetchedAt\": 1699999000", "\"fetchedAt\": null", "fetchedAt"},
        {"\"exp\": 1700000000", "\"exp\": {}", "exp"},
        {"\"exp\": 1700000000,", "", "exp"},
        {"\"source\": \"https://a.example/l\"", "\"source\": 5", "source"},
        {"\"etag\": ", "\"ETag\": ", "etag"},
        {"\"x5u\": ", "\"X5U\": ", "x5u"},
        {"\"expires\": 1699999999", "\"expires\": \"never\"", "expires"},
        {"\"pem\": \"pem\"", "\"pem\": null", "pem"},
        {"\"signer\": {", "\"signed\": {", "x5u"},
        {"\"jws\": \"a.b.5\"", "\"jws\": \"a.b.6\"", "jws"},
        {"\"jws\": \"a.b.5\"", "\"jws\": []", "jws"},
        {"\"held\": {", "\"holds\": {", "held"},
        {"\"sha256\": ", "\"SHA256\": ", "sha256"},
        {"\"sha256\": ", "\"sha256\": [" ZEROS "," ZEROS "," ZEROS "," ZEROS "], \"x\": ",
         "sha256"},
        {"\"sha256\": \"", "\"sha256\": \"0", "sha256"},
        {"\"jws\": ", "\"JWS\": ", "jws"},
        {"\"jws\": \"a.b.5\"", "\"jws\": {\"a\": 1}", "jws"},
        {"\"accepted\": [", "\"accepted\": 1, \"x\": [", "accepted"},
        {"\"held\": {", "\"held\": 1, \"x\": {", "held"},
    };
    (void)unused;
    char *text = text_of_two();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *bad = changed(text, rows[i].from, rows[i].to);
        struct list_state state = {0};
        struct sticps_error err = {0};
        enum sticps_err code = list_json_read(bad, strlen(bad), &state, &err);
        if (code != STICPS_ERR_STATE || strcmp(err.where, rows[i].where) != 0)
            fail_msg("%s: %s at %s: %s", rows[i].to, sticps_err_name(code), err.where, err.text);
        assert_null(state.jws);
        assert_null(state.seen);
        free(bad);
    }
    free(text);
}

/* 64 digits, and one character more. */
static void a_hash_that_goes_on_is_refused(void **unused)
{
    (void)unused;
    char *text = text_of_two(), *more = NULL;
    char *hash = strstr(text, "\"sha256\": \"") + strlen("\"sha256\": \"");
    assert_true(asprintf(&more, "%.*sg%s", (int)(hash + 64 - text), text, hash + 64) > 0);
    struct list_state state = {0};
    struct sticps_error err = {0};
    assert_int_equal(list_json_read(more, strlen(more), &state, &err), STICPS_ERR_STATE);
    assert_string_equal(err.where, "sha256");
    free(text);
    free(more);
}

/* The held list's own hash, that of its sequence, and the text: all three are one. */
static void hashes_that_differ_are_refused(void **unused)
{
    static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
    (void)unused;
    char *text = text_of_two(), *held = strstr(text, "\"held\""),
         *seen = strstr(text, "\"accepted\"");
    assert_true(held < seen);
    char *of_held = strstr(held, "\"sha256\": \"") + 11, *of_five = NULL;
    for (char *at = seen; (at = strstr(at, "\"sha256\": \"")) != NULL; at += 11)
        of_five = at + 11; /* the last */
    char *const places[] = {of_held, of_five};
    for (size_t i = 0; i < 2; i++) {
        static const char *const hashes[] = {zeros, "xx", "0x", "\"}"};
        for (size_t j = 0; j < 4; j++) {
            char kept[64];
            struct list_state state = {0};
            memcpy(kept, places[i], sizeof(kept));
            memcpy(places[i], hashes[j], strlen(hashes[j]));
            assert_int_equal(list_json_read(text, strlen(text), &state, NULL), STICPS_ERR_STATE);
            memcpy(places[i], kept, sizeof(kept));
        }
    }
    char *of_four = strstr(seen, "\"sha256\": \"") + 11; /* which nothing else is compared with */
    char kept = *of_four;
    *of_four = 'x';
    struct list_state none = {0};
    assert_int_equal(list_json_read(text, strlen(text), &none, NULL), STICPS_ERR_STATE);
    *of_four = kept;
    char *first = NULL; /* and one digit less */
    assert_true(asprintf(&first, "%.*s%s", (int)(of_four - text), text, of_four + 1) > 0);
    assert_int_equal(list_json_read(first, strlen(first), &none, NULL), STICPS_ERR_STATE);
    free(first);
    char *short_hash = changed(text, "\"sha256\": \"", "\"sha256\": \"0"); /* 65 digits */
    struct list_state state = {0};
    assert_int_equal(list_json_read(short_hash, strlen(short_hash), &state, NULL),
                     STICPS_ERR_STATE);
    free(short_hash);
    free(text);
}

/* The sequence of the held list is one that was accepted. */
/* Texts that JSON would escape, each under its right hash: no signed list has such a character, so
 * none is ever written as it stands. */
static void a_text_that_is_no_signed_list_is_refused(void **unused)
{
    static const char *const texts[] = {"",       "a.b c", "a.b\"c", "a.b\\c",
                                        "a.b\nc", "a.b+c", "a.b=c",  "a.\xc3\xa4.c",
                                        "a.b@c",  "a.b[c", "a.b`c",  "a.b{c"};
    (void)unused;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct list_state state = state_of_two(), out = {0};
        char *text = NULL, *again = NULL, escaped[64] = "", sha256[65];
        struct sticps_error err;
        size_t len = 0;
        for (const char *c = texts[i]; *c != '\0'; c++)
            snprintf(escaped + strlen(escaped), 8, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
        char *newline = strchr(escaped, '\n');
        if (newline != NULL) {
            memmove(newline + 2, newline + 1, strlen(newline));
            memcpy(newline, "\\n", 2);
        }
        assert_int_equal(sha256_hex(texts[i], strlen(texts[i]), sha256, NULL), STICPS_OK);
        memcpy(state.sha256, sha256, sizeof(sha256));
        memcpy(state.seen[state.seen_len - 1].sha256, sha256, sizeof(sha256));
        assert_int_equal(list_json_write(&state, &text, &len, NULL), STICPS_OK);
        char *jws = strstr(text, "a.b.5");
        assert_non_null(jws);
        assert_true(asprintf(&again, "%.*s%s%s", (int)(jws - text), text, escaped, jws + 5) > 0);
        assert_int_equal(list_json_read(again, strlen(again), &out, &err), STICPS_ERR_STATE);
        assert_string_equal(err.where, "jws");
        assert_non_null(strstr(err.text, "no signed list"));
        list_state_clear(&state);
        free(text);
        free(again);
    }
}

static void a_list_that_was_not_accepted_is_refused(void **unused)
{
    (void)unused;
    struct list_state state = state_of_two(), read = {0};
    char *text = NULL;
    size_t len = 0;
    state.seen_len = 1; /* five is forgotten, and held */
    assert_int_equal(list_json_write(&state, &text, &len, NULL), STICPS_OK);
    assert_int_equal(list_json_read(text, len, &read, NULL), STICPS_ERR_STATE);
    free(text);
    list_state_clear(&state);
}

static void a_history_that_is_too_long_is_refused(void **unused)
{
    (void)unused;
    struct list_state state = {.floor = 5000}, read = {0};
    for (size_t len = LIST_STATE_MAX_SEEN; len <= LIST_STATE_MAX_SEEN + 1; len++) {
        char *text = NULL;
        size_t text_len = 0;
        state.seen = calloc(len, sizeof(*state.seen));
        state.seen_len = len;
        for (size_t i = 0; i < len; i++) {
            state.seen[i].sequence = (int64_t)i + 1;
            memset(state.seen[i].sha256, '0', 64);
        }
        assert_int_equal(list_json_write(&state, &text, &text_len, NULL), STICPS_OK);
        assert_int_equal(list_json_read(text, text_len, &read, NULL),
                         len <= LIST_STATE_MAX_SEEN ? STICPS_OK : STICPS_ERR_STATE);
        list_state_clear(&read);
        free(text);
        free(state.seen);
    }
}

static void what_is_no_object_is_refused(void **unused)
{
    static const char *const texts[] = {"", "hello", "[]", "{}", "{\"format\": 1"};
    (void)unused;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct list_state state = {0};
        struct sticps_error err = {0};
        assert_int_equal(list_json_read(texts[i], strlen(texts[i]), &state, &err),
                         STICPS_ERR_STATE);
        assert_int_equal(err.code, STICPS_ERR_STATE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_not_right_is_refused),
        cmocka_unit_test(a_hash_that_goes_on_is_refused),
        cmocka_unit_test(hashes_that_differ_are_refused),
        cmocka_unit_test(a_text_that_is_no_signed_list_is_refused),
        cmocka_unit_test(a_list_that_was_not_accepted_is_refused),
        cmocka_unit_test(a_history_that_is_too_long_is_refused),
        cmocka_unit_test(what_is_no_object_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

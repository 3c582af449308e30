/* What the failures of a transfer are called: each of our own limits before libcurl's word, and
 * which of them another try may not meet. */
#include "client/fetch.h"
#include "client/fetch_error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h> /* after ours: it has a macro fail() */
#include <string.h>

#define URL "https://a.example/"

static const struct {
    struct fetch_trouble trouble;
    CURLcode result;
    enum sticps_err code;
    bool transient;
    const char *says;
} rows[] = {
    {{.headers_open = true}, CURLE_OK, STICPS_ERR_FETCH, true, "amid the headers"},
    {{.closed = true}, CURLE_ABORTED_BY_CALLBACK, STICPS_ERR_FETCH, false, "was closed"},
    {{.closed = true}, CURLE_RECV_ERROR, STICPS_ERR_FETCH, false, "was closed"},
    {{.no_memory = true}, CURLE_RECV_ERROR, STICPS_ERR_NO_MEMORY, false, "memory"},
    {{.headers_too_large = true}, CURLE_RECV_ERROR, STICPS_ERR_FETCH, false, "64 KiB"},
    {{.codings = true}, CURLE_RECV_ERROR, STICPS_ERR_FETCH, false, "compresses"},
    {{.body_too_large = true, .body_max = 7},
     CURLE_RECV_ERROR,
     STICPS_ERR_FETCH,
     false,
     "more than 7 bytes"},
    {{.address_closed = true}, CURLE_COULDNT_CONNECT, STICPS_ERR_ADDRESS, false, "--lab"},
    {{.address_closed = true}, CURLE_ABORTED_BY_CALLBACK, STICPS_ERR_ADDRESS, false, "--lab"},
    {{0}, CURLE_COULDNT_CONNECT, STICPS_ERR_FETCH, true, "cannot connect"},
    {{0}, CURLE_COULDNT_RESOLVE_HOST, STICPS_ERR_FETCH, true, "DNS"},
    {{.timeout_ms = 31}, CURLE_OPERATION_TIMEDOUT, STICPS_ERR_FETCH, true, "31 ms"},
    {{0}, CURLE_PEER_FAILED_VERIFICATION, STICPS_ERR_FETCH, false, "--tls-ca"},
    {{0}, CURLE_SSL_CONNECT_ERROR, STICPS_ERR_FETCH, true, "TLS: "},
    {{0}, CURLE_SSL_CIPHER, STICPS_ERR_FETCH, false, "TLS: "},
    {{0}, CURLE_PARTIAL_FILE, STICPS_ERR_FETCH, true, "announced length"},
    {{.body_max = 9}, CURLE_FILESIZE_EXCEEDED, STICPS_ERR_FETCH, false, "more than 9 bytes"},
    {{0}, CURLE_BAD_CONTENT_ENCODING, STICPS_ERR_FETCH, false, "decompressed"},
    {{0}, CURLE_OUT_OF_MEMORY, STICPS_ERR_FETCH, false, "header line"},
    {{.text = "libcurl's words"}, CURLE_GOT_NOTHING, STICPS_ERR_FETCH, true, "libcurl's words"},
    {{0}, CURLE_WEIRD_SERVER_REPLY, STICPS_ERR_FETCH, false, ""},
};

static void every_failure_has_its_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sticps_error err = {0};
        enum sticps_err code = fetch_error(&err, URL, rows[i].result, &rows[i].trouble);
        if (code != rows[i].code || err.code != code || strcmp(err.where, URL) != 0 ||
            strstr(err.text, rows[i].says) == NULL)
            fail_msg("row %zu: %s: %s", i, sticps_err_name(code), err.text);
        if (fetch_is_transient(rows[i].result, &rows[i].trouble) != rows[i].transient)
            fail_msg("row %zu: another try", i);
    }
}

static void a_whole_answer_is_none(void **state)
{
    (void)state;
    const struct fetch_trouble none = {0}, other_address = {.address_closed = true};
    struct sticps_error err = {0};
    assert_int_equal(fetch_error(&err, URL, CURLE_OK, &none), STICPS_OK);
    /* one of the host's addresses was refused, another answered */
    assert_int_equal(fetch_error(&err, URL, CURLE_OK, &other_address), STICPS_OK);
    assert_int_equal(err.code, STICPS_OK);
}

static void statuses(void **state)
{
    static const int all[] = {201, 204, 299, 300, 302, 399, 400, 404, 500};
    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct sticps_error err = {0};
        bool redirect = all[i] >= 300 && all[i] < 400;
        assert_int_equal(fetch_bad_status(&err, URL, all[i]), STICPS_ERR_FETCH);
        assert_int_equal(strstr(err.text, "redirects are not followed") != NULL, redirect);
        assert_int_equal(strstr(err.text, "not 200") != NULL, !redirect);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failure_has_its_name),
        cmocka_unit_test(a_whole_answer_is_none),
        cmocka_unit_test(statuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* libcurl without memory: it says so once and forgets what it was to do. The transfer goes on, or
 * ends by its deadline, all the same. tests/CMakeLists.txt leads its calls here (--wrap). */
#include "tests/unit/deliver_fixture.h"

#include <curl/curl.h>

CURLMcode __real_curl_multi_socket_action(CURLM *multi, curl_socket_t fd, int what, int *running);
CURLMcode __wrap_curl_multi_socket_action(CURLM *multi, curl_socket_t fd, int what, int *running);

static int lost; /* the call that is forgotten, counted down; 0: none */

CURLMcode __wrap_curl_multi_socket_action(CURLM *multi, curl_socket_t fd, int what, int *running)
{
    if (lost > 0 && --lost == 0)
        return CURLM_OUT_OF_MEMORY;
    return __real_curl_multi_socket_action(multi, fd, what, running);
}

/* The first of all, that of the connection, of the handshake … */
static void test_it_goes_on(void **state)
{
    (void)state;
    for (int which = 1; which <= 3; which++) {
        struct sticps_client *client = new_client((struct settings){60000, 0, 0});
        lost = which;
        assert_int_equal(deliver(client, token_one, NULL, NULL), STICPS_OK);
        assert_int_equal(lost, 0);
        assert_int_equal(deliver(client, token_one, NULL, NULL), STICPS_OK);
        sticps_client_free(client);
    }
}

static void test_the_deadline_holds(void **state)
{
    (void)state;
    atomic_store(&server->hold_ms, 200000);
    struct sticps_client *client = new_client((struct settings){300, 0, 0});
    lost = 1;
    assert_int_equal(deliver(client, token_one, NULL, NULL), STICPS_ERR_FETCH);
    assert_int_equal(lost, 0);
    sticps_client_free(client);
    atomic_store(&server->hold_ms, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_goes_on),
        cmocka_unit_test(test_the_deadline_holds),
    };
    alarm(200); /* what is lost for good would be waited for without end */
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* The watchdog of the service manager: fed while the loops turn, and not while one hangs. */
#include "http_fixture.h"
#include "server/http/sd_notify.h"

#include <sys/un.h>
#include <time.h>

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* The manager's end: a datagram socket of an abstract name. */
static int manager_open(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[64];
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    snprintf(name, sizeof(name), "@sticps-test-%d", (int)getpid());
    size_t len = strlen(name);
    memcpy(address.sun_path, name, len);
    address.sun_path[0] = '\0';
    assert_int_equal(bind(fd, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
                     0);
    setenv("NOTIFY_SOCKET", name, 1);
    return fd;
}

/* How many messages of that kind wait to be read; all are read. */
static int count(int fd, const char *wanted)
{
    char text[256];
    int found = 0;
    for (ssize_t len; (len = recv(fd, text, sizeof(text) - 1, 0)) >= 0;) {
        text[len] = '\0';
        found += strcmp(text, wanted) == 0;
    }
    return found;
}

static void hang(struct request *request)
{
    sleep_ms(4000);
    reply_empty(request, 204);
}

static const struct route routes[] = {{.method = "GET", .path = "/hang", .handler = hang}};

static void test_a_loop_that_hangs(void **state)
{
    int manager = manager_open();
    char usec[32];
    (void)state;
    setenv("WATCHDOG_USEC", "200000", 1);
    snprintf(usec, sizeof(usec), "%d", (int)getpid());
    setenv("WATCHDOG_PID", usec, 1);

    struct server_options options = {.threads = 2};
    struct listener_options listener = {
        .name = "test", .address = "127.0.0.1:0", .routes = routes, .routes_len = 1};
    struct fixture fixture;
    fixture_start(&fixture, &options, &listener);
    sleep_ms(1500);
    assert_true(count(manager, "WATCHDOG=1") >= 2);

    int fd = dial(listener_port(fixture.listener));
    static const char ask[] = "GET /hang HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_int_equal(write(fd, ask, sizeof(ask) - 1), sizeof(ask) - 1);
    sleep_ms(2500); /* more than the server's patience */
    (void)count(manager, "");
    sleep_ms(1000); /* one loop hangs, the other turns */
    assert_int_equal(count(manager, "WATCHDOG=1"), 0);

    char answer[64];
    assert_true(read(fd, answer, sizeof(answer)) > 0);
    sleep_ms(1500);
    assert_true(count(manager, "WATCHDOG=1") >= 1);
    close(fd);
    fixture_stop(&fixture);
    assert_int_equal(count(manager, "STOPPING=1"), 1);
    close(manager);
}

static void test_whose_watchdog(void **state)
{
    char pid[32];
    (void)state;
    setenv("WATCHDOG_USEC", "3000000", 1);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(sd_notify_watchdog_ms(), 3000);
    setenv("WATCHDOG_PID", "1", 1); /* of the process that started us */
    assert_int_equal(sd_notify_watchdog_ms(), 0);
    unsetenv("WATCHDOG_PID");
    assert_int_equal(sd_notify_watchdog_ms(), 3000);
    setenv("WATCHDOG_USEC", "soon", 1);
    assert_int_equal(sd_notify_watchdog_ms(), 0);
    unsetenv("WATCHDOG_USEC");
    assert_int_equal(sd_notify_watchdog_ms(), 0);
}

static void test_no_manager(void **state)
{
    char longer[200];
    (void)state;
    memset(longer, 'x', sizeof(longer));
    longer[0] = '/';
    longer[sizeof(longer) - 1] = '\0';
    const char *const names[] = {"", "/", "relative", "/nonexistent/socket", "@nobody", longer};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        sd_notify_send("READY=1");
    }
    unsetenv("NOTIFY_SOCKET");
    sd_notify_send("READY=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_loop_that_hangs),
        cmocka_unit_test(test_whose_watchdog),
        cmocka_unit_test(test_no_manager),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Connection strings with several hosts, and what is set beside them. */
#include "server/db/conninfo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOSTS "postgresql://u:p@one,two,three/db?target_session_attrs=read-write"

/* What libpq would take: the last value of a keyword. */
static const char *value(const struct conninfo *info, const char *keyword)
{
    const char *found = NULL;
    for (size_t i = 0; info->keywords[i] != NULL; i++)
        if (strcmp(info->keywords[i], keyword) == 0)
            found = info->values[i];
    return found;
}

static void assert_value(const struct conninfo *info, const char *keyword, const char *expected)
{
    const char *found = value(info, keyword);
    if (expected == NULL)
        assert_null(found);
    else
        assert_string_equal(found, expected);
}

static void the_hosts_are_turned(void **state)
{
    static const struct {
        const char *conninfo;
        unsigned first, hosts;
        const char *host, *hostaddr, *port; /* NULL: left to the string itself */
    } cases[] = {
        {HOSTS, 0, 3, NULL, NULL, NULL},
        {HOSTS, 1, 3, "two,three,one", NULL, ",,"},
        {HOSTS, 2, 3, "three,one,two", NULL, ",,"},
        {HOSTS, 3, 3, NULL, NULL, NULL},
        {HOSTS, 7, 3, "two,three,one", NULL, ",,"},
        {"postgresql://a:1,b:2/db", 1, 2, "b,a", NULL, "2,1"},
        {"host=a,b port=5", 1, 2, "b,a", NULL, NULL},
        {"hostaddr=192.0.2.1,192.0.2.2 port=1,2", 1, 2, NULL, "192.0.2.2,192.0.2.1", "2,1"},
        {"host=a,b hostaddr=192.0.2.1,192.0.2.2", 1, 2, "b,a", "192.0.2.2,192.0.2.1", NULL},
        {"host=,b", 1, 2, "b,", NULL, NULL}, /* an empty one is the default */
        {"postgresql://a/db", 5, 1, NULL, NULL, NULL},
        {"dbname=x", 5, 1, NULL, NULL, NULL},
        {"no conninfo", 5, 1, NULL, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct conninfo info;
        conninfo_fill(&info, cases[i].conninfo, "test", cases[i].first);
        assert_int_equal(conninfo_hosts(cases[i].conninfo), cases[i].hosts);
        assert_value(&info, "host", cases[i].host);
        assert_value(&info, "hostaddr", cases[i].hostaddr);
        assert_value(&info, "port", cases[i].port);
        assert_value(&info, "dbname", cases[i].conninfo);
    }
}

static void a_list_that_is_too_long_stays_in_its_order(void **state)
{
    char *conninfo = malloc(4 * CONNINFO_HOSTS_SIZE);
    struct conninfo info;
    (void)state;
    assert_non_null(conninfo);
    strcpy(conninfo, "host=");
    for (size_t len = 0; len < CONNINFO_HOSTS_SIZE; len += 8)
        strcat(conninfo, "example,");
    strcat(conninfo, "last");
    conninfo_fill(&info, conninfo, "test", 1);
    assert_null(value(&info, "host"));
    free(conninfo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hosts_are_turned),
        cmocka_unit_test(a_list_that_is_too_long_stays_in_its_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

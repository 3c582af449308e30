/* Allocations that fail on demand, for the tests test_oom_*: tests/CMakeLists.txt links these with
 * --wrap, so that every allocation of our own comes through here. Included once in a program. */
#ifndef TESTS_UNIT_OOM_H
#define TESTS_UNIT_OOM_H

#include <stdbool.h>
#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t len);

static long countdown; /* the allocation that fails; 0: none */
static bool for_good;  /* and all after it */
static bool failed;

static bool must_fail(void)
{
    if (countdown == 0 || --countdown > 0)
        return false;
    countdown = for_good ? 1 : 0;
    failed = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return must_fail() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return must_fail() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return must_fail() ? NULL : __real_realloc(p, size);
}

char *__wrap_strdup(const char *s)
{
    return must_fail() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t len)
{
    return must_fail() ? NULL : __real_strndup(s, len);
}

#endif

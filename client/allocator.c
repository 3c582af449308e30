/* The functions of the C library that give out memory, as libsticps.so calls them: the linker leads
 * every such call here (client/CMakeLists.txt, --wrap), so that no code, now or later, can take
 * memory past sticps_set_allocator. A test lists what is left. */
#include "sticps/allocator.h"

#include "common/error.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void __real_free(void *memory);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_reallocarray(void *memory, size_t count, size_t size);
void __wrap_free(void *memory);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);
int __wrap_asprintf(char **out, const char *format, ...) STICPS_PRINTF(2, 3);
int __wrap___asprintf_chk(char **out, int flag, const char *format, ...) STICPS_PRINTF(3, 4);

static void *(*malloc_now)(size_t) = __real_malloc;
static void *(*calloc_now)(size_t, size_t) = __real_calloc;
static void *(*realloc_now)(void *, size_t) = __real_realloc;
static void (*free_now)(void *) = __real_free;
static atomic_bool in_use; /* memory was taken: the functions stay */

enum sticps_err sticps_set_allocator(void *(*malloc_fn)(size_t), void *(*calloc_fn)(size_t, size_t),
                                     void *(*realloc_fn)(void *, size_t), void (*free_fn)(void *),
                                     struct sticps_error *err)
{
    if (malloc_fn == NULL || calloc_fn == NULL || realloc_fn == NULL || free_fn == NULL)
        return fail(err, STICPS_ERR_USAGE, NULL, "an allocator has all four functions");
    if (atomic_load(&in_use))
        return fail(err, STICPS_ERR_USAGE, NULL,
                    "memory is in use already; set the allocator before any other call");
    malloc_now = malloc_fn;
    calloc_now = calloc_fn;
    realloc_now = realloc_fn;
    free_now = free_fn;
    return STICPS_OK;
}

static void note_use(void)
{
    if (!atomic_load_explicit(&in_use, memory_order_relaxed))
        atomic_store_explicit(&in_use, true, memory_order_relaxed);
}

void *__wrap_malloc(size_t size)
{
    note_use();
    return malloc_now(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    note_use();
    return calloc_now(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    note_use();
    return realloc_now(memory, size);
}

void *__wrap_reallocarray(void *memory, size_t count, size_t size)
{
    size_t bytes;
    return __builtin_mul_overflow(count, size, &bytes) ? NULL : __wrap_realloc(memory, bytes);
}

void __wrap_free(void *memory)
{
    if (memory != NULL)
        free_now(memory);
}

static char *copy(const char *text, size_t len)
{
    char *to = __wrap_malloc(len + 1);
    if (to == NULL)
        return NULL;
    memcpy(to, text, len);
    to[len] = '\0';
    return to;
}

char *__wrap_strdup(const char *text)
{
    return copy(text, strlen(text));
}

char *__wrap_strndup(const char *text, size_t len)
{
    return copy(text, strnlen(text, len));
}

static int format_new(char **out, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = len >= 0 ? __wrap_malloc((size_t)len + 1) : NULL;
    if (text == NULL)
        return -1;
    *out = text;
    return vsnprintf(text, (size_t)len + 1, format, args);
}

int __wrap_asprintf(char **out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = format_new(out, format, args);
    va_end(args);
    return len;
}

/* What asprintf becomes with -D_FORTIFY_SOURCE. */
int __wrap___asprintf_chk(char **out, int flag, const char *format, ...)
{
    va_list args;
    (void)flag;
    va_start(args, format);
    int len = format_new(out, format, args);
    va_end(args);
    return len;
}

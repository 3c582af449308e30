/* A copy of bytes that may hold NULs, which strndup ends at. */
#ifndef COMMON_TEXT_COPY_H
#define COMMON_TEXT_COPY_H

#include <stdlib.h>
#include <string.h>

/* `len` bytes and a NUL behind them; the caller frees. NULL when out of memory. */
static inline char *text_copy(const void *data, size_t len)
{
    char *copy = malloc(len + 1);
    if (copy == NULL)
        return NULL;
    if (len > 0)
        memcpy(copy, data, len);
    copy[len] = '\0';
    return copy;
}

#endif

/* JSON pointers (RFC 6901 s3), for the "errors" of a problem. */
#ifndef REGISTRY_POINTER_H
#define REGISTRY_POINTER_H

#include <stddef.h>

/* Writes `parent` (a pointer, or "") and the member `name` of it, escaped. A name that is too long
 * is cut, never within a character of UTF-8. */
void pointer_write(char *out, size_t size, const char *parent, const char *name);

#endif

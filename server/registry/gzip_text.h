/* Gzip files (RFC 1952) that share a long text: the list is served bare and inside its envelope,
 * and is compressed once for both. A deflate stream (RFC 1951) may be put together from blocks that
 * end on a byte, so what stands before and after the text goes in as stored blocks. */
#ifndef REGISTRY_GZIP_TEXT_H
#define REGISTRY_GZIP_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* A compressed text, without beginning and end. */
struct gzip_text {
    unsigned char *blocks;
    size_t blocks_len, text_len;
    unsigned long crc;
};

/* False when memory runs out, or when `len` is above 1 GiB. */
bool gzip_text_make(struct gzip_text *out, const void *text, size_t len);
void gzip_text_clear(struct gzip_text *text);

/* The gzip file of `before`, the text and `after`; each of the two has at most 65,535 bytes. NULL
 * when memory runs out. The caller frees it. */
void *gzip_text_file(const struct gzip_text *text, const char *before, size_t before_len,
                     const char *after, size_t after_len, size_t *len);

#endif

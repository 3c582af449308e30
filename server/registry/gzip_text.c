#include "server/registry/gzip_text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define HEAD 10
#define STORED 5 /* what a stored block has before its bytes */
#define TAIL 8

/* A list of 25,000 entries in 10 to 30 ms, and a tenth larger than level 6 makes it in three times
 * as long; nobody is served the new list before this is done. */
#define LEVEL 2

bool gzip_text_make(struct gzip_text *out, const void *text, size_t len)
{
    z_stream stream = {0};

    if (len > ((size_t)1 << 30) ||
        deflateInit2(&stream, LEVEL, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    uLong bound = deflateBound(&stream, (uLong)len) + 16; /* for the flush */
    unsigned char *blocks = malloc(bound);
    if (blocks == NULL) {
        deflateEnd(&stream);
        return false;
    }
    stream.next_in = (unsigned char *)(uintptr_t)text; /* zlib reads only */
    stream.avail_in = (uInt)len;
    stream.next_out = blocks;
    stream.avail_out = (uInt)bound;
    int result = deflate(&stream, Z_SYNC_FLUSH);
    size_t blocks_len = stream.total_out;
    bool whole = result == Z_OK && stream.avail_in == 0 && stream.avail_out > 0;
    deflateEnd(&stream);
    if (!whole) {
        free(blocks);
        return false;
    }
    *out = (struct gzip_text){blocks, blocks_len, len, crc32_z(0, text, len)};
    return true;
}

void gzip_text_clear(struct gzip_text *text)
{
    free(text->blocks);
    *text = (struct gzip_text){NULL, 0, 0, 0};
}

static unsigned char *put_bytes(unsigned char *to, const void *bytes, size_t len)
{
    memcpy(to, bytes, len);
    return to + len;
}

static unsigned char *put_number(unsigned char *to, uint32_t number, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        *to++ = (unsigned char)(number >> (8 * i));
    return to;
}

static unsigned char *put_stored(unsigned char *to, const char *bytes, size_t len, bool last)
{
    *to++ = last ? 1 : 0;
    to = put_number(to, (uint32_t)len, 2);
    to = put_number(to, ~(uint32_t)len, 2);
    return put_bytes(to, bytes, len);
}

void *gzip_text_file(const struct gzip_text *text, const char *before, size_t before_len,
                     const char *after, size_t after_len, size_t *len)
{
    static const unsigned char head[HEAD] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
    size_t size = HEAD + STORED + before_len + text->blocks_len + STORED + after_len + TAIL;
    unsigned char *file = before_len <= UINT16_MAX && after_len <= UINT16_MAX ? malloc(size) : NULL;

    if (file == NULL)
        return NULL;
    uLong crc = crc32_z(0, (const unsigned char *)before, before_len);
    crc = crc32_combine(crc, text->crc, (z_off_t)text->text_len);
    crc =
        crc32_combine(crc, crc32_z(0, (const unsigned char *)after, after_len), (z_off_t)after_len);
    unsigned char *to = put_bytes(file, head, HEAD);
    to = put_stored(to, before, before_len, false);
    to = put_bytes(to, text->blocks, text->blocks_len);
    to = put_stored(to, after, after_len, true);
    to = put_number(to, (uint32_t)crc, 4);
    put_number(to, (uint32_t)(before_len + text->text_len + after_len), 4);
    *len = size;
    return file;
}

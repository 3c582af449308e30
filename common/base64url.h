/* base64url without padding (RFC 7515 s2), strict: no '=', no line breaks, unused bits zero. */
#ifndef COMMON_BASE64URL_H
#define COMMON_BASE64URL_H

#include <stdbool.h>
#include <stddef.h>

/* Characters needed for `len` bytes, without the terminator. */
size_t base64url_encoded_size(size_t len);

/* Most bytes that `len` characters can hold. */
size_t base64url_decoded_size(size_t len);

/* Writes base64url_encoded_size(len) characters; no terminator. Returns how many. */
size_t base64url_encode(const void *in, size_t len, char *out);

/* False if `in` is not exactly what base64url_encode would write. `out` has room for
 * base64url_decoded_size(len) bytes. */
bool base64url_decode(const char *in, size_t len, void *out, size_t *out_len);

#endif

#include "server/registry/pointer.h"

#include <stdio.h>

void pointer_write(char *out, size_t size, const char *parent, const char *name)
{
    int written = snprintf(out, size, "%s/", parent);
    size_t used = written > 0 ? (size_t)written : 0;

    for (; *name != '\0' && used + 3 < size; name++) {
        if (*name == '~' || *name == '/') {
            out[used++] = '~';
            out[used++] = *name == '~' ? '0' : '1';
        } else {
            out[used++] = *name;
        }
    }
    /* a cut never leaves half a character of UTF-8 */
    if (*name != '\0')
        while (used > 1 && ((unsigned char)out[used - 1] & 0x80) != 0)
            used--;
    out[used] = '\0';
}

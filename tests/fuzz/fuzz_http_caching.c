/* client/caching: whatever the header lines are, a lifetime and a Retry-After are 0, -1 or a number
 * of seconds that fits, and a line that forbids caching wins. */
#include "client/caching.h"
#include "tests/fuzz/target.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct caching caching = {0};
    const char *text = (const char *)data, *end = text + len;
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t line = newline != NULL ? (size_t)(newline - text) + 1 : (size_t)(end - text);
        caching_header(&caching, text, line);
        size_t value_len = 0;
        const char *value = header_value(text, line, "ETag", &value_len);
        MUST(value == NULL || (value >= text && value + value_len <= text + line));
        text += line;
    }
    int64_t lifetime = caching_lifetime(&caching, 1700000000);
    MUST(lifetime >= -1);
    MUST(!caching.has_max_age || lifetime <= INT64_C(2147483648));
    MUST(caching_retry_after(&caching, 1700000000) >= -1);
    caching_header(&caching, "cache-control: private, No-Store", 32);
    MUST(caching_lifetime(&caching, 1700000000) == 0);
    return 0;
}

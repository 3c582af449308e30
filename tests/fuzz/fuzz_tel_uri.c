/* client/tel_uri: what is accepted is canonical, and written again it means the same. */
#include "client/tel_uri.h"
#include "tests/fuzz/target.h"

#include <string.h>

static void check_tn(const struct tn *tn)
{
    struct tn again;
    MUST(tn_from_claim(tn->digits, strlen(tn->digits), 0, &again, NULL) == STICPS_OK);
    MUST(memcmp(tn, &again, sizeof(again)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    for (unsigned country = 0; country < 2; country++) {
        struct tel_uri uri, again;
        struct sticps_error err = {.code = STICPS_OK};
        char text[128];
        if (tel_uri_read((const char *)data, len, country, &uri, &err) != STICPS_OK) {
            MUST(err.code == STICPS_ERR_TN && err.text[0] != '\0');
            continue;
        }
        check_tn(&uri.tn);
        if (uri.rn.digits[0] != '\0')
            check_tn(&uri.rn);
        int size = snprintf(text, sizeof(text), "tel:+%s%s%s%s", uri.tn.digits,
                            uri.npdi ? ";npdi" : "", uri.rn.digits[0] != '\0' ? ";rn=+" : "",
                            uri.rn.digits);
        MUST(tel_uri_read(text, (size_t)size, country, &again, NULL) == STICPS_OK);
        MUST(memcmp(&uri, &again, sizeof(uri)) == 0);
    }
    return 0;
}

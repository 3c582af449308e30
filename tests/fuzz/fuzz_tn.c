/* common/tn and common/spc: what is accepted is canonical, and stays the same when read again. */
#include "common/spc.h"
#include "common/tn.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_tn(const struct tn *tn)
{
    struct tn again;
    size_t len = strlen(tn->digits);
    check(len >= 1 && len <= TN_MAX_DIGITS);
    check(strspn(tn->digits, "0123456789") == len);
    check(tn_from_claim(tn->digits, len, 0, &again, NULL) == STICPS_OK);
    check(memcmp(tn, &again, sizeof(again)) == 0);
    tn_from_key(tn_key(tn), &again);
    check(memcmp(tn, &again, sizeof(again)) == 0);
    check(!tn_is_toll_free(tn) || tn_is_nanp(tn));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct sticps_error err;
    struct tn typed, claim;
    struct spc spc, again;
    uint64_t key = 0;

    for (unsigned country = 0; country < 2; country++) {
        bool is_typed = tn_from_typed(text, size, country, &typed, &err) == STICPS_OK;
        bool is_claim = tn_from_claim(text, size, country, &claim, &err) == STICPS_OK;
        if (is_typed)
            check_tn(&typed);
        if (is_claim) /* then people may write it so too, and mean the same */
            check(is_typed && memcmp(&typed, &claim, sizeof(claim)) == 0);
    }
    if (spc_from_typed(text, size, &spc, &err) == STICPS_OK) {
        check(spc_from_claim(spc.text, strlen(spc.text), &again, &err) == STICPS_OK);
        check(memcmp(&spc, &again, sizeof(spc)) == 0 && spc_key(&spc) != 0);
    } else {
        check(spc_from_claim(text, size, &spc, &err) != STICPS_OK);
    }
    if (size >= sizeof(key)) {
        memcpy(&key, data, sizeof(key));
        tn_from_key(key, &typed);
        check(memchr(typed.digits, 0, sizeof(typed.digits)) != NULL);
    }
    return 0;
}

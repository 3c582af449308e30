/* Any bytes as a revocation list: what parses is a list that reads again from its own DER, says the
 * same, and is relied on by nobody whose certificate did not sign it. */
#include "common/cert.h"
#include "common/crl.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct crl *crl, *again;
    struct anchors *nobody;
    size_t der_len = 0;
    if (crl_parse(data, len, STICPS_ERR_FILE, &crl, NULL) != STICPS_OK)
        return 0;
    MUST(anchors_new(&nobody, NULL) == STICPS_OK);
    MUST(crl_check(crl, nobody, 1700000000, STICPS_ERR_SIGNER, NULL) == STICPS_ERR_SIGNER);
    const unsigned char *der = crl_der(crl, &der_len);
    MUST(der != NULL && der_len > 0);
    if (crl_parse(der, der_len, STICPS_ERR_FILE, &again, NULL) == STICPS_OK) {
        MUST(crl_next_update(again) == crl_next_update(crl));
        crl_unref(again);
    }
    anchors_free(nobody);
    crl_unref(crl);
    return 0;
}

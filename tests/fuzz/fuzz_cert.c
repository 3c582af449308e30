/* Any bytes as a chain; what parses is checked with each of its own certificates as an anchor, and
 * its PEM parses again to the same. Any bytes as a TNAuthList. */
#include "common/cert.h"
#include "common/tnauthlist.h"
#include "tests/fuzz/target.h"

#include <string.h>

static void check(struct cert_chain *chain, const uint8_t *data, size_t len)
{
    struct anchors *anchors;
    struct spc spc;
    int64_t until = 0;
    MUST(anchors_new(&anchors, NULL) == STICPS_OK);
    MUST(anchors_add(anchors, data, len, STICPS_ERR_FILE, NULL) == STICPS_OK);
    MUST(anchors_count(anchors) == cert_chain_len(chain));
    if (sti_certificate_check(chain, anchors, NULL, 1700000000, &until, &spc, NULL) == STICPS_OK)
        MUST(until > 1700000000 && spc.text[0] != '\0');
    if (list_signer_check(chain, anchors, NULL, 1700000000, &until, NULL) == STICPS_OK)
        MUST(until > 1700000000);
    anchors_free(anchors);
    free(sti_certificate_findings(chain));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct cert_chain *chain, *again;
    struct tnauthlist list;
    if (tnauthlist_parse(data, len, &list, NULL) == STICPS_OK)
        MUST(list.spcs + list.others > 0);
    if (cert_chain_parse(data, len, STICPS_ERR_FILE, &chain, NULL) != STICPS_OK)
        return 0;
    check(chain, data, len);
    const char *pem = cert_chain_pem(chain);
    if (cert_chain_parse(pem, strlen(pem), STICPS_ERR_FILE, &again, NULL) == STICPS_OK) {
        MUST(cert_chain_len(again) == cert_chain_len(chain));
        cert_chain_unref(again);
    }
    cert_chain_unref(chain);
    return 0;
}

/* The input as an answer, as a header and as a payload of either kind. What is accepted is in
 * order. */
#include "common/signed_list.h"
#include "tests/fuzz/target.h"

#include <string.h>

static void read_payload(const struct jws *jws, enum signed_list_kind kind)
{
    static const struct url_rules rules = {.any_form = true};
    struct signed_list *list;
    if (signed_list_parse(jws, kind, 1600000000, 604800, &rules, &list, NULL) != STICPS_OK)
        return;
    MUST(list->sequence >= 1 && list->sequence <= SIGNED_LIST_MAX_SEQUENCE);
    MUST(list->exp > 1600000000 && list->exp <= 1600604800);
    for (size_t i = 0; i < list->entries_len; i++) {
        MUST(signed_list_find(list, &list->entries[i].spc) == list->entries[i].url);
        MUST(i == 0 || spc_key(&list->entries[i - 1].spc) < spc_key(&list->entries[i].spc));
        MUST(strncasecmp(list->entries[i].url, "https://", 8) == 0);
    }
    signed_list_free(list);
}

static void read_header(const struct jws *jws)
{
    struct signed_list_header header;
    if (signed_list_header_parse(jws, false, &header, NULL) == STICPS_OK)
        signed_list_header_clear(&header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct jws jws;
    const char *text;
    char *owned;
    size_t text_len;
    for (int kind = 0; kind <= SIGNED_LIST_TRUST_LIST; kind++) {
        struct jws raw = {.header = (unsigned char *)data,
                          .header_len = len,
                          .payload = (unsigned char *)data,
                          .payload_len = len};
        read_header(&raw);
        read_payload(&raw, (enum signed_list_kind)kind);
        if (signed_list_unwrap((const char *)data, len, (enum signed_list_kind)kind, &text,
                               &text_len, &owned, NULL) != STICPS_OK)
            continue;
        if (jws_split(text, text_len, STICPS_ERR_FORM, &jws, NULL) == STICPS_OK) {
            read_header(&jws);
            read_payload(&jws, (enum signed_list_kind)kind);
            jws_clear(&jws);
        }
        free(owned);
    }
    return 0;
}

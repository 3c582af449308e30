/* Two independent readers agree on what JSON is; they may differ on numbers that fit no machine
 * type. */
#include "common/json_doc.h"
#include "common/strict_json.h"
#include "tests/fuzz/target.h"

#include <string.h>

static void walk(const struct json_doc *doc)
{
    size_t count = doc->nodes[0].end;
    for (size_t i = 0; i < count; i++) {
        const struct json_node *node = &doc->nodes[i];
        MUST(node->end > i && node->end <= count);
        MUST(node->key == NULL || strlen(node->key) == node->key_len);
        MUST(node->kind != JSON_NODE_STRING || strlen(node->value.text) == node->len);
        if (node->kind == JSON_NODE_OBJECT) {
            const struct json_node *member = json_node_first(node);
            for (uint32_t m = 0; m < node->len; m++, member = json_node_next(doc, member))
                MUST(json_node_get(doc, node, member->key) == member);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct json_doc doc;
    struct sticps_error err = {0};
    if (len > 4096)
        return 0;
    enum sticps_err rc = json_doc_parse(data, len, STICPS_ERR_PAYLOAD, &doc, NULL);
    json_t *value = strict_json_parse(data, len, STICPS_ERR_PAYLOAD, &err);
    if (rc == STICPS_OK) {
        MUST(value != NULL || strstr(err.text, "too big") || strstr(err.text, "overflow"));
        walk(&doc);
        json_doc_clear(&doc);
    } else {
        MUST(value == NULL);
    }
    json_decref(value);
    return 0;
}

/* jansson's own parser agrees on what JSON is, and on the value; but it refuses numbers that fit no
 * machine type, reads deeper nesting, and skips some NUL bytes. */
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
    json_error_t fault = {0};
    if (len > 4096)
        return 0;
    enum sticps_err rc = json_doc_parse(data, len, STICPS_ERR_PAYLOAD, &doc, &err);
    json_t *value = strict_json_parse(data, len, STICPS_ERR_PAYLOAD, NULL);
    json_t *judge = json_loadb((const char *)data, len, JSON_REJECT_DUPLICATES, &fault);
    MUST((value != NULL) == (rc == STICPS_OK));
    if (rc == STICPS_OK) {
        MUST(judge != NULL || json_error_code(&fault) == json_error_numeric_overflow);
        MUST(judge == NULL || json_equal(value, judge));
        walk(&doc);
        json_doc_clear(&doc);
    } else {
        MUST(judge == NULL || strstr(err.text, "too deep") != NULL ||
             strstr(err.text, "NUL") != NULL);
    }
    json_decref(value);
    json_decref(judge);
    return 0;
}

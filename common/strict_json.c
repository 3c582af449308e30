#include "common/strict_json.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* The host may have set a locale whose decimal point is a comma. */
static json_t *make_real(const char *text)
{
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c_locale == (locale_t)0)
        return NULL;
    double value = strtod_l(text, NULL, c_locale);
    freelocale(c_locale);
    if (isinf(value)) /* jansson takes finite ones only */
        value = value > 0 ? DBL_MAX : -DBL_MAX;
    return json_real(value);
}

/* NULL when out of memory. */
static json_t *make_value(const struct json_node *node)
{
    switch (node->kind) {
    case JSON_NODE_OBJECT:
        return json_object();
    case JSON_NODE_ARRAY:
        return json_array();
    case JSON_NODE_STRING: /* "nocheck": json_doc has checked the UTF-8 */
        return json_stringn_nocheck(node->value.text, node->len);
    case JSON_NODE_INTEGER:
        return json_integer(node->value.integer);
    case JSON_NODE_NUMBER:
        return make_real(node->value.text);
    case JSON_NODE_TRUE:
        return json_true();
    case JSON_NODE_FALSE:
        return json_false();
    case JSON_NODE_NULL:
        break;
    }
    return json_null();
}

/* Takes over `value`, also when it fails. */
static bool put(json_t *container, const struct json_node *node, json_t *value)
{
    if (node->key != NULL)
        return json_object_setn_new_nocheck(container, node->key, node->key_len, value) == 0;
    return json_array_append_new(container, value) == 0;
}

/* The document's nodes are in the order in which their values are made: each goes into the
 * container whose members are not all there yet. NULL when out of memory. */
static json_t *make_tree(const struct json_doc *doc)
{
    struct {
        json_t *container;
        uint32_t end;
    } open[JSON_DOC_MAX_DEPTH];
    unsigned depth = 0;
    json_t *root = NULL;
    for (uint32_t i = 0; i < doc->nodes[0].end; i++) {
        const struct json_node *node = &doc->nodes[i];
        json_t *value = make_value(node);
        while (depth > 0 && open[depth - 1].end <= i)
            depth--;
        if (root == NULL)
            root = value;
        else if (!put(open[depth - 1].container, node, value))
            value = NULL;
        if (value == NULL) {
            json_decref(root);
            return NULL;
        }
        if (node->kind == JSON_NODE_OBJECT || node->kind == JSON_NODE_ARRAY) {
            open[depth].container = value;
            open[depth++].end = node->end;
        }
    }
    return root;
}

json_t *strict_json_parse(const void *text, size_t len, enum sticps_err code,
                          struct sticps_error *err)
{
    struct json_doc doc;
    if (json_doc_parse(text, len, code, &doc, err) != STICPS_OK)
        return NULL;
    json_t *value = make_tree(&doc);
    if (value == NULL)
        fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    json_doc_clear(&doc);
    return value;
}

#include "common/json_doc.h"

#include "common/json_string.h"
#include "common/text_copy.h"

#include <stdlib.h>
#include <string.h>

struct parser {
    char *start, *at; /* the text ends in a NUL, which no rule accepts: no separate end to check */
    struct json_node *nodes;
    size_t len, cap;
    uint32_t open[JSON_DOC_MAX_DEPTH]; /* the containers that we are inside */
    unsigned depth;
    const char *fault; /* what is wrong at `at` */
    bool out_of_memory;
};

static bool refuse(struct parser *p, const char *fault)
{
    p->fault = fault;
    return false;
}

static void skip_space(struct parser *p)
{
    while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r')
        p->at++;
}

/* ---- scalars ---- */

static bool read_string(struct parser *p, const char **text, uint32_t *len)
{
    p->fault = json_string_read(&p->at, text, len);
    return p->fault == NULL;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool skip_digits(struct parser *p)
{
    if (!is_digit(*p->at))
        return refuse(p, "a bad number");
    while (is_digit(*p->at))
        p->at++;
    return true;
}

/* The digits in [from, to) as a number; false when it does not fit. */
static bool to_integer(const char *from, const char *to, bool negative, int64_t *out)
{
    uint64_t value = 0, limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    for (; from < to; from++) {
        uint64_t digit = (uint64_t)(*from - '0');
        if (value > (limit - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (!negative)
        *out = (int64_t)value;
    else
        *out = value == 0 ? 0 : -(int64_t)(value - 1) - 1;
    return true;
}

/* RFC 8259 s6 */
static bool read_number(struct parser *p, struct json_node *node)
{
    const char *begin = p->at;
    bool negative = *begin == '-', whole = true;
    if (negative)
        p->at++;
    const char *digits = p->at;
    if (*p->at == '0' && is_digit(p->at[1]))
        return refuse(p, "a number with a leading zero");
    if (!skip_digits(p))
        return false;
    const char *end = p->at;
    if (*p->at == '.') {
        whole = false;
        p->at++;
        if (!skip_digits(p))
            return false;
    }
    if (*p->at == 'e' || *p->at == 'E') {
        whole = false;
        p->at++;
        if (*p->at == '+' || *p->at == '-')
            p->at++;
        if (!skip_digits(p))
            return false;
    }
    int64_t integer;
    if (whole && to_integer(digits, end, negative, &integer)) {
        node->kind = JSON_NODE_INTEGER;
        node->value.integer = integer;
    } else {
        node->kind = JSON_NODE_NUMBER;
        node->value.text = begin;
        node->len = (uint32_t)(p->at - begin);
    }
    return true;
}

static bool read_word(struct parser *p, struct json_node *node)
{
    static const struct {
        const char *word;
        size_t len;
        enum json_node_kind kind;
    } words[] = {
        {"true", 4, JSON_NODE_TRUE}, {"false", 5, JSON_NODE_FALSE}, {"null", 4, JSON_NODE_NULL}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strncmp(p->at, words[i].word, words[i].len) == 0) {
            p->at += words[i].len;
            node->kind = words[i].kind;
            return true;
        }
    }
    return refuse(p, *p->at == '\0' ? "the end, too early" : "something that is no value");
}

/* ---- duplicate keys ---- */

static int compare_keys(const struct json_node *a, const struct json_node *b)
{
    size_t shorter = a->key_len < b->key_len ? a->key_len : b->key_len;
    int order = memcmp(a->key, b->key, shorter);
    if (order != 0)
        return order;
    return (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

static int on_compare(const void *a, const void *b)
{
    return compare_keys(*(const struct json_node *const *)a, *(const struct json_node *const *)b);
}

/* Lists are published in order, so one pass settles the usual case; otherwise the members are
 * sorted. */
static bool keys_are_unique(struct parser *p, const struct json_node *object)
{
    if (object->len < 2)
        return true;
    const struct json_node *member = object + 1;
    size_t in_order = 1;
    for (; in_order < object->len; in_order++) {
        const struct json_node *next = p->nodes + member->end;
        if (compare_keys(member, next) >= 0)
            break;
        member = next;
    }
    if (in_order == object->len)
        return true;

    const struct json_node **sorted = malloc(object->len * sizeof(*sorted));
    if (sorted == NULL) {
        p->out_of_memory = true;
        return false;
    }
    member = object + 1;
    for (size_t i = 0; i < object->len; i++, member = p->nodes + member->end)
        sorted[i] = member;
    qsort(sorted, object->len, sizeof(*sorted), on_compare);
    bool unique = true;
    for (size_t i = 1; i < object->len && unique; i++)
        unique = compare_keys(sorted[i - 1], sorted[i]) != 0;
    free(sorted);
    return unique || refuse(p, "a duplicate key in the object that ends");
}

/* ---- structure ---- */

static struct json_node *add_node(struct parser *p)
{
    if (p->len == p->cap) {
        size_t cap = p->cap == 0 ? 16 : p->cap + p->cap / 2;
        struct json_node *nodes = realloc(p->nodes, cap * sizeof(*nodes));
        if (nodes == NULL) {
            p->out_of_memory = true;
            return NULL;
        }
        p->nodes = nodes;
        p->cap = cap;
    }
    struct json_node *node = &p->nodes[p->len++];
    *node = (struct json_node){0};
    return node;
}

/* Reads a scalar whole; of an object or array, only its bracket: what follows are its members. */
static bool read_value(struct parser *p, struct json_node *node)
{
    char c = *p->at;
    if (c == '{' || c == '[') {
        if (p->depth == JSON_DOC_MAX_DEPTH)
            return refuse(p, "nesting that is too deep");
        node->kind = c == '{' ? JSON_NODE_OBJECT : JSON_NODE_ARRAY;
        p->open[p->depth++] = (uint32_t)(node - p->nodes);
        p->at++;
        return true;
    }
    node->end = (uint32_t)p->len;
    if (c == '"') {
        node->kind = JSON_NODE_STRING;
        return read_string(p, &node->value.text, &node->len);
    }
    if (c == '-' || is_digit(c))
        return read_number(p, node);
    return read_word(p, node);
}

static bool read_key(struct parser *p, struct json_node *node)
{
    if (*p->at != '"')
        return refuse(p, "no key where one belongs");
    if (!read_string(p, &node->key, &node->key_len))
        return false;
    skip_space(p);
    if (*p->at != ':')
        return refuse(p, "no colon after a key");
    p->at++;
    skip_space(p);
    return true;
}

static bool close_container(struct parser *p, struct json_node *container)
{
    container->end = (uint32_t)p->len;
    if (container->kind == JSON_NODE_OBJECT && !keys_are_unique(p, container))
        return false;
    p->at++;
    p->depth--;
    return true;
}

/* The next member of the innermost container, or its end. */
static bool read_member(struct parser *p)
{
    struct json_node *container = &p->nodes[p->open[p->depth - 1]];
    bool in_object = container->kind == JSON_NODE_OBJECT;
    skip_space(p);
    if (*p->at == (in_object ? '}' : ']'))
        return close_container(p, container);
    if (container->len > 0) {
        if (*p->at != ',')
            return refuse(p, *p->at == '\0' ? "the end, too early" : "no comma between two values");
        p->at++;
        skip_space(p);
    }
    container->len++;
    struct json_node *node = add_node(p); /* may move `container` */
    return node != NULL && (!in_object || read_key(p, node)) && read_value(p, node);
}

static bool read_document(struct parser *p)
{
    skip_space(p);
    if (*p->at != '{' && *p->at != '[')
        return refuse(p, "no object or array");
    struct json_node *root = add_node(p);
    if (root == NULL || !read_value(p, root))
        return false;
    while (p->depth > 0)
        if (!read_member(p))
            return false;
    skip_space(p);
    return *p->at == '\0' || refuse(p, "more after the end");
}

enum sticps_err json_doc_take(char *text, size_t len, enum sticps_err code, struct json_doc *out,
                              struct sticps_error *err)
{
    struct parser p = {.start = text, .at = text};
    enum sticps_err rc;
    const char *nul = memchr(text, '\0', len);
    if (nul != NULL)
        rc = fail(err, code, NULL, "not JSON: NUL at byte %zu", (size_t)(nul - text));
    else if (len > INT32_MAX)
        rc = fail(err, code, NULL, "JSON text is too long");
    else if (read_document(&p)) {
        *out = (struct json_doc){.nodes = p.nodes, .text = text};
        return STICPS_OK;
    } else if (p.out_of_memory)
        rc = fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    else
        rc = fail(err, code, NULL, "not JSON: %s at byte %zu", p.fault, (size_t)(p.at - text));
    free(p.nodes);
    free(text);
    return rc;
}

enum sticps_err json_doc_parse(const void *text, size_t len, enum sticps_err code,
                               struct json_doc *out, struct sticps_error *err)
{
    char *copy = len <= INT32_MAX ? text_copy(text, len) : NULL;
    if (len > INT32_MAX)
        return fail(err, code, NULL, "JSON text is too long");
    if (copy == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    return json_doc_take(copy, len, code, out, err);
}

enum sticps_err json_doc_parse_object(const void *text, size_t len, enum sticps_err code,
                                      struct json_doc *out, struct sticps_error *err)
{
    struct json_doc doc;
    enum sticps_err rc = json_doc_parse(text, len, code, &doc, err);
    if (rc != STICPS_OK)
        return rc;
    if (doc.nodes[0].kind != JSON_NODE_OBJECT) {
        json_doc_clear(&doc);
        return fail(err, code, NULL, "JSON, but not an object");
    }
    *out = doc;
    return STICPS_OK;
}

void json_doc_clear(struct json_doc *doc)
{
    free(doc->nodes);
    free(doc->text);
    *doc = (struct json_doc){0};
}

/* ---- reading ---- */

const struct json_node *json_node_first(const struct json_node *container)
{
    return container + 1;
}

const struct json_node *json_node_next(const struct json_doc *doc, const struct json_node *node)
{
    return doc->nodes + node->end;
}

const struct json_node *json_node_get(const struct json_doc *doc, const struct json_node *object,
                                      const char *key)
{
    size_t len = strlen(key);
    const struct json_node *member = json_node_first(object);
    for (uint32_t i = 0; i < object->len; i++, member = json_node_next(doc, member))
        if (member->key_len == len && memcmp(member->key, key, len) == 0)
            return member;
    return NULL;
}

bool json_node_is(const struct json_node *node, const char *text)
{
    return node != NULL && node->kind == JSON_NODE_STRING && strcmp(node->value.text, text) == 0;
}

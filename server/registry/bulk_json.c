/* The two JSON forms of a whole mapping (bulk_map.h). */
#include "server/registry/bulk_map.h"

#include "server/registry/pointer.h"

#include <stdlib.h>
#include <string.h>

#define MAPPING "cpsMapping"

static bool has_kind(const struct json_node *member)
{
    return member->key_len >= 2 && member->key[0] >= '0' && member->key[0] <= '2' &&
           member->key[1] == '-';
}

static bool is_rfc9888(const struct json_doc *doc)
{
    const struct json_node *member = json_node_first(doc->nodes);
    bool found = false;

    for (uint32_t i = 0; i < doc->nodes->len; i++, member = json_node_next(doc, member)) {
        if (strcmp(member->key, MAPPING) == 0)
            return false;
        found = found || has_kind(member);
    }
    return found;
}

static void add_pair(struct bulk_map *map, const struct json_node *member)
{
    const struct bulk_entry place = {.name = member->key};
    size_t skip = 0;

    if (map->form == BULK_RFC9888) {
        if (!has_kind(member) || member->key[0] != '0') {
            bulk_tell(map, &place,
                      "must be \"0-\" and a Service Provider Code: the registry maps no telephone "
                      "numbers");
            return;
        }
        skip = 2;
    }
    if (member->kind != JSON_NODE_STRING)
        bulk_tell(map, &place, "must be a string");
    else
        bulk_add(map, place, member->key + skip, member->key_len - skip, member->value.text,
                 member->len);
}

static void read_pairs(struct bulk_map *map, const struct json_node *object, const char *pointer)
{
    const struct json_node *member = json_node_first(object);

    if (object->len > BULK_MAX_ENTRIES) {
        bulk_tell_all(map, pointer, "a mapping may have 50,000 entries");
        return;
    }
    for (uint32_t i = 0; i < object->len; i++, member = json_node_next(&map->doc, member))
        add_pair(map, member);
    bulk_finish(map);
}

/* {"cpsMapping":{…}} and nothing else. */
static void read_members(struct bulk_map *map)
{
    const struct json_node *outer = map->doc.nodes, *mapping = NULL;
    const struct json_node *member = json_node_first(outer);
    char pointer[BULK_POINTER_SIZE];

    if (outer->len > BULK_MAX_ENTRIES) {
        bulk_tell_all(map, "", "the body must be an object with the member \"" MAPPING "\" alone");
        return;
    }
    for (uint32_t i = 0; i < outer->len; i++, member = json_node_next(&map->doc, member)) {
        if (strcmp(member->key, MAPPING) == 0) {
            mapping = member;
            continue;
        }
        pointer_write(pointer, sizeof(pointer), "", member->key);
        bulk_tell_all(map, pointer, "this member is not known here");
    }
    if (mapping == NULL)
        bulk_tell_all(map, "/" MAPPING, "this member is missing");
    else if (mapping->kind != JSON_NODE_OBJECT)
        bulk_tell_all(map, "/" MAPPING, "must be an object of SPCs and their URLs");
    else
        read_pairs(map, mapping, "/" MAPPING);
}

enum sticps_err bulk_read_json(struct bulk_map *map, const void *body, size_t len,
                               struct sticps_error *err)
{
    enum sticps_err code = json_doc_parse(body, len, STICPS_ERR_FORM, &map->doc, err);

    if (code == STICPS_ERR_NO_MEMORY)
        abort();
    if (code != STICPS_OK)
        return code;
    if (map->doc.nodes->kind != JSON_NODE_OBJECT) {
        bulk_tell_all(map, "", "the body must be a JSON object");
    } else if (is_rfc9888(&map->doc)) {
        map->form = BULK_RFC9888;
        read_pairs(map, map->doc.nodes, "");
    } else {
        map->form = BULK_MAPPING;
        read_members(map);
    }
    return STICPS_OK;
}

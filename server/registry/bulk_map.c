#include "server/registry/bulk_map.h"

#include "server/registry/pointer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bulk_map_init(struct bulk_map *map, const struct url_rules *rules, bulk_fault *fault,
                   void *arg)
{
    *map = (struct bulk_map){.rules = rules, .fault = fault, .arg = arg};
}

void bulk_map_clear(struct bulk_map *map)
{
    free(map->entries);
    free(map->text);
    json_doc_clear(&map->doc);
    *map = (struct bulk_map){0};
}

void bulk_pointer(const struct bulk_map *map, const struct bulk_entry *entry, char *out)
{
    if (entry->name == NULL)
        snprintf(out, BULK_POINTER_SIZE, "/line/%zu", entry->line);
    else
        pointer_write(out, BULK_POINTER_SIZE, map->form == BULK_MAPPING ? "/cpsMapping" : "",
                      entry->name);
}

void bulk_tell_all(struct bulk_map *map, const char *pointer, const char *detail)
{
    map->faults++;
    map->fault(map->arg, pointer, detail);
}

void bulk_tell(struct bulk_map *map, const struct bulk_entry *place, const char *format, ...)
{
    char pointer[BULK_POINTER_SIZE], detail[640];
    int used = 0;
    va_list args;

    bulk_pointer(map, place, pointer);
    if (place->name == NULL)
        used = snprintf(detail, sizeof(detail), "line %zu: ", place->line);
    va_start(args, format);
    vsnprintf(detail + used, sizeof(detail) - (size_t)used, format, args);
    va_end(args);
    bulk_tell_all(map, pointer, detail);
}

void bulk_add(struct bulk_map *map, struct bulk_entry place, const char *spc, size_t spc_len,
              const char *url, size_t url_len)
{
    struct sticps_error err;
    bool good = true;

    if (spc_from_typed(spc, spc_len, &place.spc, &err) != STICPS_OK) {
        bulk_tell(map, &place, "%s", err.text);
        good = false;
    }
    if (cps_url_check(url, url_len, map->rules, &err) != STICPS_OK) {
        bulk_tell(map, &place, "%s", err.text);
        good = false;
    }
    if (!good)
        return;
    if (map->len == map->cap) {
        map->cap = map->cap > 0 ? map->cap * 2 : 256;
        map->entries = reallocarray(map->entries, map->cap, sizeof(*map->entries));
        if (map->entries == NULL)
            abort();
    }
    place.url = url;
    map->entries[map->len++] = place;
}

/* By SPC; the same SPC in the order in which the texts lie in memory, which is the request's. */
static int by_spc(const void *left, const void *right)
{
    const struct bulk_entry *a = left, *b = right;
    int order = memcmp(a->spc.text, b->spc.text, sizeof(a->spc.text));

    if (order != 0)
        return order;
    return a->url < b->url ? -1 : a->url > b->url;
}

void bulk_finish(struct bulk_map *map)
{
    size_t first = 0;

    if (map->len > 0)
        qsort(map->entries, map->len, sizeof(*map->entries), by_spc);
    for (size_t i = 1; i < map->len; i++) {
        const struct bulk_entry *entry = &map->entries[i], *other = &map->entries[first];

        if (strcmp(entry->spc.text, other->spc.text) != 0)
            first = i;
        else if (entry->name != NULL)
            bulk_tell(map, entry, "the SPC %s is there already, as \"%s\"", entry->spc.text,
                      other->name);
        else
            bulk_tell(map, entry, "the SPC %s is there already, in line %zu", entry->spc.text,
                      other->line);
    }
}

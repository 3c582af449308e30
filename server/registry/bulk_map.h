/* A whole mapping as one request brings it: read from any of its three forms, checked, every fault
 * of it told, ready for the SQL function that sets it (PROTOCOL section 3).
 *
 *   {"cpsMapping":{"1234":"https://…"}}   application/json
 *   {"0-1234":"https://…"}                application/json, the advertisement of RFC 9888: an SPC
 * is named "0-" and the code, 0 being its kind in a TNAuthList (RFC 8226 s9); kinds 1 and 2 are
 * telephone numbers SPC,URL                               text/csv (RFC 4180), a heading with these
 * names is optional
 *
 * The JSON forms are told apart by their shape: RFC 9888 has no member "cpsMapping" and a name that
 * starts with a kind. Without either it is the first form with something missing, so that {} never
 * deletes everything by accident; neither does an empty CSV: an empty mapping is written
 * {"cpsMapping":{}}, or as the heading alone.
 *
 * Called by bulk_routes. Knows nothing of HTTP and of the database. */
#ifndef REGISTRY_BULK_MAP_H
#define REGISTRY_BULK_MAP_H

#include "common/json_doc.h"
#include "common/spc.h"
#include "common/url.h"

#include <stddef.h>

/* More than all SPCs of a country; it bounds what the faults of one request can take. */
#define BULK_MAX_ENTRIES 50000

enum bulk_form { BULK_MAPPING, BULK_RFC9888, BULK_CSV };

struct bulk_entry {
    struct spc spc;
    const char *url;  /* NUL-terminated, of the map's text */
    const char *name; /* the SPC as written, of the map's text; NULL in CSV */
    size_t line;      /* from 1, in CSV */
};

/* One fault: where (RFC 6901 for JSON, "/line/3" for CSV) and what. */
typedef void bulk_fault(void *arg, const char *pointer, const char *detail);

struct bulk_map {
    enum bulk_form form;
    struct bulk_entry *entries; /* by SPC, each once, when there was no fault */
    size_t len, cap;
    size_t faults;
    /* used while reading */
    const struct url_rules *rules;
    bulk_fault *fault;
    void *arg;
    /* what the entries point into */
    struct json_doc doc;
    char *text;
};

#define BULK_POINTER_SIZE 128

void bulk_map_init(struct bulk_map *map, const struct url_rules *rules, bulk_fault *fault,
                   void *arg);
void bulk_map_clear(struct bulk_map *map);

/* Reads and checks all of it; faults are told one by one and counted. Fails only on what is no JSON
 * (STICPS_ERR_FORM, with the text for people), which tells no fault. Out of memory ends the daemon.
 */
enum sticps_err bulk_read_json(struct bulk_map *map, const void *body, size_t len,
                               struct sticps_error *err) STICPS_MUST_CHECK;
void bulk_read_csv(struct bulk_map *map, const void *body, size_t len);

/* Where an entry stands in the request. `out` has room for BULK_POINTER_SIZE. */
void bulk_pointer(const struct bulk_map *map, const struct bulk_entry *entry, char *out);

/* ---- for the readers of the forms ---- */

/* One pair as written, both NUL-terminated in the map's text; `place` says where, its spc is not
 * read. */
void bulk_add(struct bulk_map *map, struct bulk_entry place, const char *spc, size_t spc_len,
              const char *url, size_t url_len);
void bulk_tell(struct bulk_map *map, const struct bulk_entry *place, const char *format, ...)
    STICPS_PRINTF(3, 4);
/* A fault of the whole. */
void bulk_tell_all(struct bulk_map *map, const char *pointer, const char *detail);
/* All pairs are in: tells SPCs that are there twice, and sorts. */
void bulk_finish(struct bulk_map *map);

#endif

/* The CSV form of a whole mapping, in and out: RFC 4180, and LF alone as a line end, and the byte
 * order mark that spreadsheets put in front. Nothing is trimmed and no line may be blank. */
#include "server/registry/bulk_csv.h"

#include "server/registry/bulk_map.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIELDS 2

struct reader {
    char *at, *end;      /* `end` is a NUL behind the text */
    size_t line;         /* that `at` is in, from 1 */
    size_t record_line;  /* that the record began in */
    char *field[FIELDS]; /* NUL-terminated, in place */
    size_t field_len[FIELDS];
    size_t fields; /* of the record, also those that were not kept */
    const char *fault;
};

/* A quoted field, unquoted in place: after it `at` is behind the closing quote. */
static size_t read_quoted(struct reader *r, char *to)
{
    char *start = to;

    for (r->at++; r->at < r->end; r->at++) {
        if (*r->at == '"' && *++r->at != '"')
            return (size_t)(to - start);
        if (*r->at == '\n')
            r->line++;
        *to++ = *r->at;
    }
    r->fault = "a quotation mark is not closed";
    return (size_t)(to - start);
}

static bool at_line_end(const struct reader *r)
{
    return r->at == r->end || *r->at == '\n' || (*r->at == '\r' && r->at[1] == '\n');
}

/* One field; `at` is at what ended it, or anywhere after a fault. */
static void read_field(struct reader *r)
{
    char *start = r->at;
    size_t len;

    if (*r->at == '"') {
        len = read_quoted(r, start);
        if (r->fault == NULL && !at_line_end(r) && *r->at != ',')
            r->fault = "something follows a closing quotation mark";
    } else {
        while (!at_line_end(r) && *r->at != ',' && *r->at != '"')
            r->at++;
        len = (size_t)(r->at - start);
        if (*r->at == '"' && r->at < r->end)
            r->fault = "a quotation mark stands inside a field that does not begin with one";
    }
    if (r->fields < FIELDS) {
        r->field[r->fields] = start;
        r->field_len[r->fields] = len;
    }
    r->fields++;
}

/* The next record; false at the end. A record with a fault ends with its line, so that reading goes
 * on and later faults are told too. */
static bool read_record(struct reader *r)
{
    if (r->at == r->end)
        return false;
    r->record_line = r->line;
    r->fields = 0;
    r->fault = NULL;
    for (;;) {
        read_field(r);
        if (r->fault != NULL || at_line_end(r))
            break;
        r->at++; /* the comma */
    }
    if (r->fault != NULL)
        while (r->at < r->end && *r->at != '\n')
            r->at++;
    if (r->at < r->end) {
        r->at += *r->at == '\r' ? 2 : 1;
        r->line++;
    }
    /* only now: what ended a field was still to be looked at */
    for (size_t i = 0; i < FIELDS && i < r->fields; i++)
        r->field[i][r->field_len[i]] = '\0';
    return true;
}

static bool is_heading(const struct reader *r)
{
    return r->fault == NULL && r->fields == FIELDS && strcasecmp(r->field[0], "SPC") == 0 &&
           strcasecmp(r->field[1], "URL") == 0;
}

void bulk_read_csv(struct bulk_map *map, const void *body, size_t len)
{
    static const char mark[] = "\xef\xbb\xbf";
    size_t records = 0;

    map->form = BULK_CSV;
    map->text = malloc(len + 1);
    if (map->text == NULL)
        abort();
    if (len > 0)
        memcpy(map->text, body, len);
    map->text[len] = '\0';
    struct reader r = {.at = map->text, .end = map->text + len, .line = 1};
    if (len >= 3 && memcmp(r.at, mark, 3) == 0)
        r.at += 3;
    if (r.at == r.end)
        bulk_tell_all(map, "", "there is no line; an empty mapping is the heading SPC,URL alone");
    for (bool first = true; read_record(&r); first = false) {
        const struct bulk_entry place = {.line = r.record_line};

        if (first && is_heading(&r))
            continue;
        if (records++ == BULK_MAX_ENTRIES) {
            bulk_tell(map, &place, "a mapping may have 50,000 entries");
            break;
        }
        if (r.fault != NULL)
            bulk_tell(map, &place, "%s", r.fault);
        else if (r.fields != FIELDS)
            bulk_tell(map, &place, "two fields are needed, SPC and URL, and %zu %s there", r.fields,
                      r.fields == 1 ? "is" : "are");
        else
            bulk_add(map, place, r.field[0], r.field_len[0], r.field[1], r.field_len[1]);
    }
    bulk_finish(map);
}

/* ---- out ---- */

static void write_field(struct json_write *out, const char *text, size_t len)
{
    if (strcspn(text, ",\"\r\n") == len) {
        json_write_raw(out, text, len);
        return;
    }
    json_write_literal(out, "\"");
    for (; *text != '\0'; text++) {
        if (*text == '"')
            json_write_literal(out, "\"");
        json_write_raw(out, text, 1);
    }
    json_write_literal(out, "\"");
}

void bulk_write_csv(struct json_write *out, const struct json_doc *mapping)
{
    const struct json_node *member = json_node_first(mapping->nodes);

    json_write_literal(out, "SPC,URL\r\n");
    for (uint32_t i = 0; i < mapping->nodes->len; i++, member = json_node_next(mapping, member)) {
        write_field(out, member->key, member->key_len);
        json_write_literal(out, ",");
        write_field(out, member->value.text, member->len);
        json_write_literal(out, "\r\n");
    }
}

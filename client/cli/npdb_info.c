/* sticps npdb info: what a portability file is made of. */
#include "client/cli/cli.h"
#include "client/report/report.h"
#include "client/tools/census.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const section_names[NPDB_SECTIONS] = {"blocks",   "index",    "npas",
                                                         "palettes", "prefixes", "owners"};

static double each(uint64_t bytes, uint64_t ports)
{
    return ports == 0 ? 0.0 : (double)bytes / (double)ports;
}

/* The most symbols that a class of census.symbols has. */
static unsigned most_symbols(size_t i)
{
    return i == CENSUS_SYMBOLS - 1 ? NPDB_BLOCK_NUMBERS : 1u << i;
}

/* ---- JSON ---- */

static json_t *part_json(const struct census_part *part)
{
    return json_pack("{s:I, s:I}", "blocks", (json_int_t)part->count, "bytes",
                     (json_int_t)part->bytes);
}

/* An object with a member for each class that occurs, named by its number. */
static json_t *parts_json(const struct census_part *parts, size_t len, bool by_symbols)
{
    json_t *object = json_object();
    for (size_t i = 0; i < len; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%u", by_symbols ? most_symbols(i) : (unsigned)i);
        if (parts[i].count > 0 && json_object_set_new(object, name, part_json(&parts[i])) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static int print_json(const char *path, const struct census *c)
{
    json_t *sections = json_object();
    for (size_t i = 0; i < NPDB_SECTIONS; i++)
        json_object_set_new(sections, section_names[i], json_integer((json_int_t)c->sections[i]));
    const struct npdb_figures *f = &c->figures;
    json_t *blocks =
        json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:I}", "blocks", (json_int_t)c->blocks.count,
                  "bytes", (json_int_t)c->blocks.bytes, "levels",
                  parts_json(c->levels, NPDB_BLOCK_MAX_LEVELS + 1, false), "symbols",
                  parts_json(c->symbols, CENSUS_SYMBOLS, true), "decades", part_json(&c->decades),
                  "wide", part_json(&c->wide), "allPorted", part_json(&c->all_ported),
                  "symbolBytes", (json_int_t)c->symbol_bytes);
    return cli_print_json(json_pack(
        "{s:s, s:s, s:o, s:i, s:I, s:I, s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}",
        "status", "read", "code", "OK", "file", report_text(path), "version", NPDB_VERSION,
        "sequence", (json_int_t)f->sequence, "bytes", (json_int_t)f->bytes, "ports",
        (json_int_t)f->ports, "bytesPerPort", each(f->bytes, f->ports), "blocks",
        (json_int_t)f->blocks, "spcs", (json_int_t)f->spcs, "lrns", (json_int_t)f->lrns,
        "lrnsWithoutOwner", (json_int_t)f->lrns_without_owner, "pages", (json_int_t)c->pages,
        "paletteEntries", (json_int_t)c->palette_entries, "largestPalette",
        (json_int_t)c->largest_palette, "sections", sections, "encoding", blocks));
}

/* ---- text ---- */

static void print_part(const char *what, const struct census_part *part, const struct census *c)
{
    double share = c->blocks.count == 0 ? 0.0 : (double)part->count / (double)c->blocks.count;
    if (part->count > 0)
        printf("  %-18s %10" PRIu64 " %5.1f %% %12" PRIu64 " bytes\n", what, part->count,
               100.0 * share, part->bytes);
}

static void print_text(const char *path, const struct census *c)
{
    const struct npdb_figures *f = &c->figures;
    char what[32];
    printf("%s: version %d, sequence %" PRIu64 ", %" PRIu64 " bytes\n", path, NPDB_VERSION,
           f->sequence, f->bytes);
    printf("%" PRIu64 " ports, %.4f bytes each; %" PRIu64 " blocks; %" PRIu64 " spcs; %" PRIu64
           " lrns, %" PRIu64 " of them without owner\n",
           f->ports, each(f->bytes, f->ports), f->blocks, f->spcs, f->lrns, f->lrns_without_owner);
    printf("sections\n");
    for (size_t i = 0; i < NPDB_SECTIONS; i++)
        printf("  %-18s %31" PRIu64 " bytes\n", section_names[i], c->sections[i]);
    printf("%" PRIu64 " pages of the index, %" PRIu64
           " entries of palettes, the largest palette %" PRIu64 "\n",
           c->pages, c->palette_entries, c->largest_palette);
    printf("thousands with ported numbers\n");
    print_part("all", &c->blocks, c);
    print_part("wide", &c->wide, c);
    print_part("decades", &c->decades, c);
    print_part("every one ported", &c->all_ported, c);
    for (size_t i = 0; i <= NPDB_BLOCK_MAX_LEVELS; i++) {
        snprintf(what, sizeof(what), "%zu levels", i);
        print_part(what, &c->levels[i], c);
    }
    for (size_t i = 0; i < CENSUS_SYMBOLS; i++) {
        snprintf(what, sizeof(what), "up to %u symbols", most_symbols(i));
        print_part(what, &c->symbols[i], c);
    }
}

static int run_info(int argc, char **argv)
{
    const struct cli_option options[] = {{NULL, 0, CLI_FLAG, NULL, NULL, NULL, false, 0, 0}};
    struct cli_texts rest;
    int status;
    if (!cli_parse(&cli_npdb_info, options, argc, argv, &rest, 1, 1, &status))
        return status;
    struct sticps_error err = {0};
    struct npdb *npdb = NULL;
    struct census census;
    if (npdb_open(rest.items[0], NPDB_CHECK_STRUCTURE, &npdb, &err) != STICPS_OK)
        return cli_fail(&err);
    census_take(npdb, &census);
    npdb_close(npdb);
    if (cli_json())
        return print_json(rest.items[0], &census);
    print_text(rest.items[0], &census);
    return CLI_OK;
}

const struct cli_command cli_npdb_info = {
    "npdb info",
    "FILE",
    "Says what is in a portability file, and in which form.",
    run_info,
};

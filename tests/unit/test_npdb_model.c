/* Random numbering plans: the portability file against a model that scans lists of texts, written
 * from PROTOCOL section 7 without a look at keys, tables or sorting. And, when STICPS_TEST_DATA
 * names a folder with nanp-npanxx.csv and e164-carrier-prefixes.csv, the real codes of the world
 * with made-up owners. */
#include "tests/unit/npdb_fixture.h"

static uint64_t seed = 20250731;

static unsigned below(unsigned n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(seed >> 33) % n;
}

/* ---- the model ---- */

struct model_row {
    char key[16]; /* digits of the prefix or number */
    char lrn[16]; /* of a port; or "" */
    char spc[8];  /* or "" for nobody */
};

struct model {
    struct model_row *blocks, *ports;
    size_t blocks_len, ports_len;
    bool last_wins; /* the CSV says something else of some of them first */
};

static const struct model_row *model_exact(const struct model_row *rows, size_t len,
                                           const char *digits)
{
    for (size_t i = 0; i < len; i++)
        if (strcmp(rows[i].key, digits) == 0)
            return &rows[i];
    return NULL;
}

static const struct model_row *model_longest(const struct model *model, const char *digits)
{
    const struct model_row *best = NULL;
    for (size_t i = 0; i < model->blocks_len; i++) {
        const struct model_row *row = &model->blocks[i];
        size_t len = strlen(row->key);
        if (strncmp(row->key, digits, len) == 0 && (best == NULL || len > strlen(best->key)))
            best = row;
    }
    return best;
}

static const char *model_ask(const struct model *model, const char *digits, char out[64])
{
    const struct model_row *port = model_exact(model->ports, model->ports_len, digits), *block;
    const char *spc;
    if (port != NULL) {
        spc = port->spc;
        if (port->lrn[0] != '\0') {
            char npa_nxx[8] = "";
            memcpy(npa_nxx, port->lrn, 7);
            block = model_exact(model->blocks, model->blocks_len, npa_nxx);
            spc = block != NULL ? block->spc : "";
        }
    } else {
        block = model_longest(model, digits);
        if (block == NULL)
            return "unknown";
        spc = block->spc;
    }
    snprintf(out, 64, "%s/%s/%s", port != NULL ? "ported" : "block",
             port != NULL && port->lrn[0] != '\0' ? port->lrn : "-", spc[0] != '\0' ? spc : "-");
    return out;
}

/* ---- random plans, in a corner of the plan so small that everything overlaps ---- */

static void random_nanp(char *out)
{
    snprintf(out, 16, "1%u0%u%u0%u%u00%u", "238"[below(3)] - '0', below(2), 2 + below(2), below(2),
             below(3), below(6));
}

static void random_number(char *out)
{
    if (below(4) > 0) {
        random_nanp(out);
        return;
    }
    size_t len = 1 + below(15);
    for (size_t i = 0; i < len; i++)
        out[i] = (char)('0' + below(2) + (i == 0 ? 4 : 0));
    out[len] = '\0';
}

static void random_spc(char *out)
{
    snprintf(out, 8, "%c%03u", "0A9Z"[below(4)], below(5));
}

/* To an LRN, or to a carrier by name: a Resp Org for a toll-free number. */
static void random_port(struct model_row *row)
{
    row->lrn[0] = row->spc[0] = '\0';
    if (row->key[0] == '1' && row->key[1] == '8')
        snprintf(row->spc, sizeof(row->spc), "RSP%02u", below(7));
    else if (row->key[0] != '1' || below(2) > 0)
        random_spc(row->spc);
    else
        do
            random_nanp(row->lrn);
        while (row->lrn[1] == '8');
}

static void random_model(struct model *model, size_t blocks, size_t ports)
{
    model->blocks = calloc(blocks, sizeof(*model->blocks));
    model->ports = calloc(ports, sizeof(*model->ports));
    model->blocks_len = model->ports_len = 0;
    assert_true(model->blocks != NULL && model->ports != NULL);
    for (size_t i = 0; i < blocks; i++) {
        struct model_row row = {"", "", ""};
        random_number(row.key);
        row.key[below(3) > 0 ? 7 + below(2) : 1 + below(row.key[0] == '1' ? 8 : 15)] = '\0';
        if (below(6) > 0)
            random_spc(row.spc);
        if (model_exact(model->blocks, model->blocks_len, row.key) == NULL)
            model->blocks[model->blocks_len++] = row;
    }
    while (model->ports_len < ports) {
        struct model_row row = {"", "", ""};
        random_number(row.key);
        random_port(&row);
        if (model_exact(model->ports, model->ports_len, row.key) == NULL)
            model->ports[model->ports_len++] = row;
        /* and numbers behind it, to the same owner or to others */
        size_t run = row.key[0] == '1' && below(40) == 0 ? below(300) : 0;
        for (bool same = below(2) > 0; run > 0 && model->ports_len < ports; run--) {
            snprintf(row.key, sizeof(row.key), "%llu", strtoull(row.key, NULL, 10) + 1);
            if (!same)
                random_port(&row);
            if (model_exact(model->ports, model->ports_len, row.key) == NULL)
                model->ports[model->ports_len++] = row;
        }
    }
}

static void write_model(const struct folder *f, const struct model *model)
{
    FILE *file = fopen(f->blocks, "we");
    assert_non_null(file);
    for (size_t i = 0; model->last_wins && i < model->blocks_len; i += 1 + below(5))
        fprintf(file, "+%s,%s\n", model->blocks[i].key, below(3) > 0 ? "X999" : "-");
    for (size_t i = 0; i < model->blocks_len; i++) {
        const struct model_row *row = &model->blocks[i];
        size_t len = strlen(row->key);
        /* NPA-NXX and NPA-NXX-X in either spelling */
        bool national = (len == 7 || len == 8) && row->key[0] == '1' && below(2) > 0;
        fprintf(file, "%s%s,%s\n", national ? "" : "+", row->key + national,
                row->spc[0] != '\0' ? row->spc : "-");
    }
    assert_int_equal(fclose(file), 0);
    file = fopen(f->ports, "we");
    assert_non_null(file);
    for (size_t i = 0; model->last_wins && i < model->ports_len; i += 1 + below(5))
        fprintf(file, "+%s,X%03u\n", model->ports[i].key, below(9));
    for (size_t i = 0; i < model->ports_len; i++) {
        const struct model_row *row = &model->ports[i];
        bool national = row->key[0] == '1' && below(2) > 0;
        bool national_lrn = below(2) > 0;
        fprintf(file, "%s%s,%s\n", national ? "" : "+", row->key + national,
                row->lrn[0] != '\0' ? row->lrn + national_lrn : row->spc);
    }
    assert_int_equal(fclose(file), 0);
}

static struct npdb *build_files(const struct folder *f, bool last_wins, unsigned threads)
{
    const char *blocks = f->blocks, *ports = f->ports;
    struct npdb_build_options options = {.blocks = &blocks,
                                         .blocks_len = 1,
                                         .ports = &ports,
                                         .ports_len = 1,
                                         .output = f->output,
                                         .last_wins = last_wins,
                                         .threads = threads};
    struct sticps_error err = {.code = STICPS_OK};
    struct npdb *npdb = NULL;
    if (npdb_build(&options, NULL, &err) != STICPS_OK ||
        npdb_open(f->output, NPDB_CHECK_ALL, &npdb, &err) != STICPS_OK)
        print_error("%s: %s\n", err.where, err.text);
    assert_non_null(npdb);
    return npdb;
}

static void compare(const struct model *model, const struct npdb *npdb, const char *digits)
{
    char plus[24], got[64], expected[64];
    snprintf(plus, sizeof(plus), "+%s", digits);
    assert_string_equal(ask(npdb, plus, got), model_ask(model, digits, expected));
}

#define ASKED 2000

/* Many at once are answered as each alone. */
static void compare_batch(const struct npdb *npdb, const uint64_t *numbers, size_t count)
{
    uint32_t results[ASKED];
    npdb_find_batch(npdb, numbers, count, results);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(results[i], npdb_find_number(npdb, numbers[i]));
}

static void compare_plan(const struct model *model, const struct npdb *npdb)
{
    uint64_t numbers[ASKED];
    for (size_t i = 0; i < ASKED; i++) {
        char digits[16];
        random_number(digits);
        compare(model, npdb, digits);
        numbers[i] = strtoull(digits, NULL, 10);
        assert_int_equal(npdb_find(npdb, numbers[i], (unsigned)strlen(digits)),
                         npdb_find_number(npdb, numbers[i]));
    }
    compare_batch(npdb, numbers, ASKED);
    compare_batch(npdb, numbers, 33);
    for (size_t i = 0; i < model->ports_len; i++)
        compare(model, npdb, model->ports[i].key);
    for (size_t i = 0; i < model->blocks_len; i++)
        compare(model, npdb, model->blocks[i].key);
}

static void random_plans_answer_as_the_model_does(void **state)
{
    struct folder *f = *state;
    for (unsigned plan = 0; plan < 60; plan++) {
        struct model model;
        random_model(&model, 1 + below(150), plan % 6 == 0 ? 1 + below(900) : 1 + below(200));
        model.last_wins = plan % 4 == 0;
        write_model(f, &model);
        struct npdb *npdb = build_files(f, model.last_wins, 1 + plan % 3);
        compare_plan(&model, npdb);
        npdb_close(npdb);
        free(model.blocks);
        free(model.ports);
    }
}

/* ---- real codes ---- */

static FILE *open_data(const char *name)
{
    const char *folder = getenv("STICPS_TEST_DATA");
    char path[4096];
    if (folder == NULL || folder[0] == '\0') {
        print_message("skipped: STICPS_TEST_DATA names no folder with %s\n", name);
        skip();
    }
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        print_error("%s cannot be opened\n", path);
    assert_non_null(file);
    return file;
}

#define MAX_CODES 100000

/* Adds the codes of a file to the model's blocks, with `before` in front of each. */
static void load_codes(struct model *model, const char *name, const char *before)
{
    char line[512];
    FILE *file = open_data(name);
    model->blocks = calloc(MAX_CODES, sizeof(*model->blocks));
    assert_non_null(model->blocks);
    while (fgets(line, sizeof(line), file) != NULL) {
        size_t digits = strspn(line, "0123456789");
        if (digits == 0)
            continue;
        assert_true(digits <= 14 && line[digits] == ',');
        assert_true(model->blocks_len < MAX_CODES);
        struct model_row row = {"", "", ""};
        snprintf(row.key, sizeof(row.key), "%s%.*s", before, (int)digits, line);
        snprintf(row.spc, sizeof(row.spc), "%04u", below(6000));
        if (row.key[0] == '1' && strlen(row.key) > 8) /* a hundred of +1 is no block: refused */
            continue;
        model->blocks[model->blocks_len++] = row;
    }
    fclose(file);
    assert_true(model->blocks_len > 10000);
}

/* Numbers in, at the edges of and beside the codes. */
static void compare_around(const struct model *model, const struct npdb *npdb, size_t stride)
{
    for (size_t i = 0; i < model->blocks_len; i += stride) {
        char digits[32];
        const char *code = model->blocks[i].key;
        snprintf(digits, sizeof(digits), "%s%s", code, "00000000000000");
        digits[code[0] == '1' ? 11 : 12] = '\0';
        compare(model, npdb, digits);
        memset(digits + strlen(code), '9', strlen(digits) - strlen(code));
        compare(model, npdb, digits);
        char *last = &digits[strlen(code) - 1];
        *last = (char)(*last == '9' ? '0' : *last + 1);
        compare(model, npdb, digits);
        digits[strlen(code) - 1] = '\0';
        compare(model, npdb, digits);
    }
}

static void the_real_codes_of_north_america(void **state)
{
    struct folder *f = *state;
    struct model model = {NULL, NULL, 0, 0, false};
    load_codes(&model, "nanp-npanxx.csv", "1");
    model.ports = calloc(300, sizeof(*model.ports));
    assert_non_null(model.ports);
    for (size_t i = 0; i < 300; i++) {
        struct model_row *row = &model.ports[i];
        snprintf(row->key, sizeof(row->key), "%.7s%04u",
                 model.blocks[(i * 104729) % model.blocks_len].key, (unsigned)i % 10000);
        if (i % 10 == 0) /* some to a code that is not in service */
            snprintf(row->lrn, sizeof(row->lrn), "1999999%04u", below(10000));
        else
            snprintf(row->lrn, sizeof(row->lrn), "%.7s%04u",
                     model.blocks[below((unsigned)model.blocks_len)].key,
                     (unsigned)(below(10000) & 8191));
    }
    model.ports_len = 300;
    write_model(f, &model);
    struct npdb *npdb = build_files(f, false, 0);
    for (size_t i = 0; i < model.ports_len; i++)
        compare(&model, npdb, model.ports[i].key);
    compare_around(&model, npdb, 61);
    npdb_close(npdb);
    free(model.blocks);
    free(model.ports);
}

static void the_real_carrier_prefixes_of_the_world(void **state)
{
    struct folder *f = *state;
    struct model model = {NULL, NULL, 0, 0, false};
    load_codes(&model, "e164-carrier-prefixes.csv", "");
    write_model(f, &model);
    struct npdb *npdb = build_files(f, false, 0);
    compare_around(&model, npdb, 53);
    npdb_close(npdb);
    free(model.blocks);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(random_plans_answer_as_the_model_does),
        TEST(the_real_codes_of_north_america),
        TEST(the_real_carrier_prefixes_of_the_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A folder of its own for a test, CSV files in it, and one call that builds and opens. */
#ifndef TESTS_UNIT_NPDB_FIXTURE_H
#define TESTS_UNIT_NPDB_FIXTURE_H

#include "client/npdb_build.h"
#include "client/npdb_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct folder {
    char path[64];
    char blocks[96], ports[96], more[96], output[96];
};

static inline int folder_make(void **state)
{
    struct folder *f = calloc(1, sizeof(*f));
    if (f == NULL)
        return -1;
    snprintf(f->path, sizeof(f->path), "/tmp/test_npdb.XXXXXX");
    if (mkdtemp(f->path) == NULL)
        return -1;
    snprintf(f->blocks, sizeof(f->blocks), "%s/blocks.csv", f->path);
    snprintf(f->ports, sizeof(f->ports), "%s/ports.csv", f->path);
    snprintf(f->more, sizeof(f->more), "%s/more.csv", f->path);
    snprintf(f->output, sizeof(f->output), "%s/out.npdb", f->path);
    *state = f;
    return 0;
}

/* How many files the folder holds; removes them when told. */
static inline size_t folder_count(const struct folder *f, int remove_them)
{
    size_t count = 0;
    DIR *dir = opendir(f->path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        count++;
        if (remove_them)
            unlinkat(dirfd(dir), entry->d_name, 0);
    }
    closedir(dir);
    return count;
}

static inline int folder_remove(void **state)
{
    struct folder *f = *state;
    folder_count(f, 1);
    rmdir(f->path);
    free(f);
    return 0;
}

static inline void put_file(const char *path, const void *data, size_t len)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static inline unsigned char *get_file(const char *path, size_t *len)
{
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    struct stat st;
    assert_int_equal(fstat(fileno(file), &st), 0);
    *len = (size_t)st.st_size;
    unsigned char *data = malloc(*len + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *len, file), *len);
    fclose(file);
    return data;
}

/* Builds from the text of a blocks file and a ports file, either may be NULL. */
static inline enum sticps_err build_text(struct folder *f, const char *blocks, const char *ports,
                                         bool last_wins, struct npdb_build_stats *stats,
                                         struct sticps_error *err)
{
    const char *blocks_path = f->blocks, *ports_path = f->ports;
    if (blocks != NULL)
        put_file(f->blocks, blocks, strlen(blocks));
    if (ports != NULL)
        put_file(f->ports, ports, strlen(ports));
    struct npdb_build_options options = {
        .blocks = &blocks_path,
        .blocks_len = blocks != NULL,
        .ports = &ports_path,
        .ports_len = ports != NULL,
        .output = f->output,
        .last_wins = last_wins,
    };
    return npdb_build(&options, stats, err);
}

static inline struct npdb *build_and_open(struct folder *f, const char *blocks, const char *ports)
{
    struct npdb *npdb = NULL;
    struct sticps_error err = {.code = STICPS_OK};
    if (build_text(f, blocks, ports, false, NULL, &err) != STICPS_OK ||
        npdb_open(f->output, NPDB_CHECK_ALL, &npdb, &err) != STICPS_OK)
        print_error("%s: %s\n", err.where, err.text);
    assert_non_null(npdb);
    return npdb;
}

/* "ported/LRN/SPC", with "-" for what there is none of; "unknown" when the file knows nothing. */
static inline const char *ask(const struct npdb *npdb, const char *number, char out[64])
{
    struct tn tn;
    struct npdb_answer a;
    assert_int_equal(tn_from_typed(number, strlen(number), 1, &tn, NULL), STICPS_OK);
    npdb_lookup(npdb, &tn, &a);
    assert_int_equal(a.has_owner, a.spc.text[0] != '\0');
    assert_true(a.found || (!a.ported && !a.has_owner));
    snprintf(out, 64, "%s/%s/%s", a.ported ? "ported" : "block",
             a.lrn.digits[0] != '\0' ? a.lrn.digits : "-", a.has_owner ? a.spc.text : "-");
    return a.found ? out : "unknown";
}

#endif

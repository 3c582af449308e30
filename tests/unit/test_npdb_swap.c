/* A portability file is replaced a thousand times, by renaming the next one over it, while eight
 * threads resolve: no answer mixes two files, is older than the file that was in place when it was
 * asked for, or newer than the one that came; and of the old files nothing stays mapped. */
#include "sticps/sticps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define READERS 8
#define SWAPS 1000
#define FILES 16 /* ready-made; swap i brings file i % FILES */

static char dir[64], live[128];

static void path_of(char out[128], const char *name, unsigned file)
{
    snprintf(out, 128, "%s/%s.%u", dir, name, file);
}

/* ---- the files ---- */

/* Each names carriers and LRNs of its own, and no two are of one size, so that nothing lies where
 * it did in the file before: file 3 has the carriers 0003, A003 and B003 and the LRN 13125553000.
 */
static void write_rows(const char *blocks, const char *ports, unsigned file)
{
    FILE *out = fopen(blocks, "we");
    assert_non_null(out);
    fprintf(out, "202-555,%04u\n312-555,A%03u\n+44,B%03u\n", file, file, file);
    for (unsigned i = 0; i < 5 * (file % 5); i++) /* whole NPAs, before and behind the others */
        fprintf(out, "+1%u,C%03u\n", i % 2 == 0 ? 210 + i : 910 + i, i);
    assert_int_equal(fclose(out), 0);
    out = fopen(ports, "we");
    assert_non_null(out);
    for (unsigned i = 0; i < 10; i++)
        fprintf(out, "20255%05u,312555%04u\n", 50100 + i, 1000 * (file % 10) + file / 10);
    for (unsigned i = 0; i < 40 * file; i++)
        fprintf(out, "20255%05u,D%03u\n", 51000 + i * 7 % 8000, i % (1 + file));
    fprintf(out, "8005550199,A%03u\n", file);
    assert_int_equal(fclose(out), 0);
}

static void make_file(unsigned file)
{
    char blocks[128], ports[128], made[128];
    struct sticps_npdb_build *build = NULL;
    path_of(blocks, "blocks", file);
    path_of(ports, "ports", file);
    path_of(made, "made", file);
    write_rows(blocks, ports, file);
    assert_int_equal(sticps_npdb_build_new(&build, NULL), STICPS_OK);
    assert_int_equal(sticps_npdb_build_add_blocks(build, blocks, NULL), STICPS_OK);
    assert_int_equal(sticps_npdb_build_add_ports(build, ports, NULL), STICPS_OK);
    assert_int_equal(sticps_npdb_build_run(build, made, NULL), STICPS_OK);
    sticps_npdb_build_free(build);
    unlink(blocks);
    unlink(ports);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/sticps-test-swap-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(live, sizeof(live), "%s/live", dir);
    for (unsigned file = 0; file < FILES; file++)
        make_file(file);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned file = 0; file < FILES; file++) {
        char made[128];
        path_of(made, "made", file);
        unlink(made);
    }
    unlink(live);
    return rmdir(dir);
}

/* ---- the writer ---- */

static struct sticps_client *client;
static atomic_uint coming, arrived; /* swaps begun, and those that every reader must see */
static atomic_bool stop;

static void swap(unsigned i)
{
    char made[128], next[128];
    const char *paths[] = {live};
    path_of(made, "made", i % FILES);
    path_of(next, "next", 0);
    assert_int_equal(link(made, next), 0);
    assert_int_equal(rename(next, live), 0);
    atomic_store(&coming, i);
    assert_int_equal(sticps_client_set_npdb(client, paths, 1, NULL), STICPS_OK);
    atomic_store(&arrived, i);
}

/* How many of the files are mapped. A file may have several mappings, which lie side by side. */
static unsigned mapped_files(void)
{
    char line[512], last[512] = "";
    unsigned count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        const char *name = strstr(line, dir);
        char inode[512] = "";
        sscanf(line, "%*s %*s %*s %*s %511s", inode);
        if (name != NULL && strcmp(inode, last) != 0)
            count++;
        strcpy(last, name != NULL ? inode : "");
    }
    fclose(maps);
    return count;
}

/* ---- the readers ---- */

struct reader {
    pthread_t thread;
    atomic_ulong answers, wrong;
    char example[256]; /* of a wrong answer */
};

/* What file `file` says of number `ask`. */
static void expect(unsigned ask, unsigned file, char spc[24], char lrn[24])
{
    lrn[0] = '\0';
    if (ask == 0)
        snprintf(spc, 24, "%04u", file); /* a block */
    else
        snprintf(spc, 24, "%c%03u", ask == 2 ? 'B' : 'A', file);
    if (ask == 3)
        snprintf(lrn, 24, "1312555%04u", 1000 * (file % 10) + file / 10);
}

static void ask_one(struct reader *reader, struct sticps_answer *answer, unsigned ask)
{
    /* a block, a toll-free number, a prefix elsewhere, one ported to an LRN */
    static const char *const numbers[] = {"2025550000", "8005550199", "+442071838750",
                                          "2025550105"};
    unsigned oldest = atomic_load(&arrived);
    enum sticps_err code = sticps_resolve(client, numbers[ask], answer, NULL);
    unsigned newest = atomic_load(&coming);
    bool right = false;
    for (unsigned i = oldest; i <= newest && !right; i++) {
        char spc[24], lrn[24];
        expect(ask, i % FILES, spc, lrn);
        right = strcmp(sticps_answer_spc(answer), spc) == 0 &&
                strcmp(sticps_answer_lrn(answer), lrn) == 0;
    }
    right = right && code == STICPS_ERR_NO_LIST; /* the step after the carrier */
    right = right && sticps_answer_ported(answer) == (ask == 1 || ask == 3);
    atomic_fetch_add(&reader->answers, 1);
    if (!right && atomic_fetch_add(&reader->wrong, 1) == 0)
        snprintf(reader->example, sizeof(reader->example), "%s, swap %u to %u: %d %s %s",
                 numbers[ask], oldest, newest, (int)code, sticps_answer_lrn(answer),
                 sticps_answer_spc(answer));
}

static void *read_on(void *argument)
{
    static const struct timespec moment = {0, 20000};
    struct sticps_answer *answer = sticps_answer_new();
    while (!atomic_load(&stop)) {
        for (unsigned ask = 0; ask < 40; ask++)
            ask_one(argument, answer, ask % 4);
        nanosleep(&moment, NULL); /* lets the writer in where processors are fewer than threads */
    }
    sticps_answer_free(answer);
    return NULL;
}

static bool all_have_read(const struct reader *readers)
{
    for (int i = 0; i < READERS; i++)
        if (atomic_load(&readers[i].answers) < 100)
            return false;
    return true;
}

static void new_client(void)
{
    struct sticps_options *options = sticps_options_new();
    assert_non_null(options);
    assert_int_equal(sticps_options_set_state_dir(options, dir, NULL), STICPS_OK);
    assert_int_equal(sticps_client_new(options, &client, NULL), STICPS_OK);
    sticps_options_free(options);
}

static void replaced_a_thousand_times(void **state)
{
    (void)state;
    static struct reader readers[READERS];
    new_client();
    swap(0);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
    unsigned i = 0, most = 0;
    while (i < SWAPS || !all_have_read(readers)) {
        swap(++i);
        unsigned mapped = i % 50 == 0 ? mapped_files() : 0;
        most = mapped > most ? mapped : most;
    }
    atomic_store(&stop, true);
    for (i = 0; i < READERS; i++)
        pthread_join(readers[i].thread, NULL);
    for (i = 0; i < READERS; i++) {
        if (atomic_load(&readers[i].wrong) > 0)
            print_error("%s\n", readers[i].example);
        assert_int_equal(atomic_load(&readers[i].wrong), 0);
    }
    assert_int_equal(most, 1); /* the old one goes before the call returns */
    assert_int_equal(mapped_files(), 1);
    sticps_client_free(client);
    assert_int_equal(mapped_files(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(replaced_a_thousand_times)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* The marks of the newest lists seen: what raises them, and what a state directory brings back. */
#include "server/registry/sequence_floor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define HEADER "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9"
#define SIGNATURE "AAAA"
/* {"sequence":7,"exp":99} and {"sequence":8,"exp":99} */
#define LIST_7 HEADER ".eyJzZXF1ZW5jZSI6NywiZXhwIjo5OX0." SIGNATURE
#define LIST_8 HEADER ".eyJzZXF1ZW5jZSI6OCwiZXhwIjo5OX0." SIGNATURE

static struct sequence_floor *open_floor(const char *directory)
{
    struct sequence_floor *floor = NULL;
    struct sticps_error err = {0};

    if (sequence_floor_new(directory, &floor, &err) != STICPS_OK)
        fail_msg("%s", err.text);
    return floor;
}

static void keep(struct sequence_floor *floor, int64_t sequence, const char *jws)
{
    struct published_list *list = NULL;
    struct sticps_error err = {0};

    assert_int_equal(published_list_new(LIST_CPS, sequence, 99, jws, strlen(jws), &list, &err),
                     STICPS_OK);
    sequence_floor_keep(floor, list);
    published_list_unref(list);
}

/* The only mark there is. */
static struct floor_mark the_mark(struct sequence_floor *floor, enum list_kind kind)
{
    struct floor_mark marks[FLOOR_SOURCES];

    assert_int_equal(sequence_floor_marks(floor, kind, marks), 1);
    return marks[0];
}

static void a_mark_never_goes_back(void **state)
{
    struct sequence_floor *floor = open_floor(NULL);
    struct floor_mark marks[FLOOR_SOURCES];

    (void)state;
    assert_int_equal(sequence_floor_marks(floor, LIST_CPS, marks), 0);
    keep(floor, 8, LIST_8);
    keep(floor, 7, LIST_7);
    assert_int_equal(the_mark(floor, LIST_CPS).sequence, 8);
    assert_int_equal(sequence_floor_marks(floor, LIST_CA, marks), 0);
    sequence_floor_free(floor);
}

/* A cache may lag; other bytes under the same number are news. */
static void each_witness_has_a_mark_of_its_own(void **state)
{
    struct sequence_floor *floor = open_floor(NULL);
    struct floor_mark marks[FLOOR_SOURCES];

    (void)state;
    sequence_floor_seen(floor, LIST_CA, 0, "one", 5, "aa");
    sequence_floor_seen(floor, LIST_CA, 0, "one", 4, "bb");
    assert_string_equal(the_mark(floor, LIST_CA).sha256, "aa");
    sequence_floor_seen(floor, LIST_CA, 0, "one", 5, "cc");
    assert_string_equal(the_mark(floor, LIST_CA).sha256, "cc");
    sequence_floor_seen(floor, LIST_CA, FLOOR_WITNESSES - 1, "last", 3, "dd");
    assert_int_equal(sequence_floor_marks(floor, LIST_CA, marks), 2);
    assert_string_equal(marks[1].source, "last");
    assert_int_equal(marks[1].sequence, 3);
    sequence_floor_free(floor);
}

static void a_directory_remembers_the_list(void **state)
{
    char parent[] = "/tmp/test_floor.XXXXXX", directory[64], path[96], text[256] = "";
    struct sequence_floor *floor;
    struct floor_mark before;

    (void)state;
    assert_non_null(mkdtemp(parent));
    snprintf(directory, sizeof(directory), "%s/state", parent);
    snprintf(path, sizeof(path), "%s/cps-list.jwt", directory);
    floor = open_floor(directory);
    assert_null(sequence_floor_kept(floor, LIST_CPS));
    keep(floor, 8, LIST_8);
    assert_false(sequence_floor_failed(floor));
    before = the_mark(floor, LIST_CPS);
    sequence_floor_free(floor);

    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(text, 1, sizeof(text) - 1, file), strlen(LIST_8));
    assert_string_equal(text, LIST_8);
    fclose(file);

    floor = open_floor(directory);
    struct floor_mark after = the_mark(floor, LIST_CPS);
    assert_int_equal(after.sequence, 8);
    assert_string_equal(after.sha256, before.sha256);
    struct published_list *kept = sequence_floor_kept(floor, LIST_CPS);
    assert_non_null(kept);
    assert_int_equal(kept->exp, 99);
    published_list_unref(kept);
    sequence_floor_free(floor);
    unlink(path);
    rmdir(directory);
    rmdir(parent);
}

static void what_is_no_list_is_damage(void **state)
{
    static const char *const texts[] = {"", "a.b.c", HEADER ".e30." SIGNATURE,
                                        HEADER ".eyJzZXF1ZW5jZSI6MCwiZXhwIjo5OX0." SIGNATURE,
                                        LIST_8 "\n"};
    char directory[] = "/tmp/test_floor.XXXXXX", path[96];

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/ca-list.jwt", directory);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct sequence_floor *floor = NULL;
        struct sticps_error err = {0};
        FILE *file = fopen(path, "w");

        assert_non_null(file);
        fputs(texts[i], file);
        fclose(file);
        assert_int_equal(sequence_floor_new(directory, &floor, &err), STICPS_ERR_STATE);
        assert_null(floor);
        assert_non_null(strstr(err.text, path));
    }
    unlink(path);
    rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mark_never_goes_back),
        cmocka_unit_test(each_witness_has_a_mark_of_its_own),
        cmocka_unit_test(a_directory_remembers_the_list),
        cmocka_unit_test(what_is_no_list_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

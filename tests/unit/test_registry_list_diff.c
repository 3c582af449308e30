/* Differences between lists, the names of losses, and the rule of the brake. */
#include "server/registry/list_diff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* "A=1 B=2" as items; at most 8, texts are kept in `text`. */
struct sample {
    char text[64];
    struct list_item items[8];
    struct list_items list;
};

static const struct list_items *parse(struct sample *sample, const char *text)
{
    char *save = NULL;

    *sample = (struct sample){.list = {.items = sample->items}};
    strncpy(sample->text, text, sizeof(sample->text) - 1);
    for (char *word = strtok_r(sample->text, " ", &save); word != NULL;
         word = strtok_r(NULL, " ", &save)) {
        char *equals = strchr(word, '=');

        if (equals != NULL)
            *equals = '\0';
        sample->items[sample->list.len++] =
            (struct list_item){word, equals != NULL ? equals + 1 : NULL};
    }
    return &sample->list;
}

static void a_walk_names_every_key_once_in_order(void **state)
{
    static const struct {
        const char *before, *after, *changes; /* key and what became of it */
    } cases[] = {
        {"", "", ""},
        {"", "A=1 B=2", "A+B+"},
        {"A=1 B=2", "", "A-B-"},
        {"A=1 B=2", "A=1 B=2", "A=B="},
        {"A=1 C=3", "B=2 D=4", "A-B+C-D+"},
        {"A=1 B=2 C=3", "B=3 C=3 D=1", "A-B~C=D+"},
        {"A=1", "A", "A="}, /* no value: nothing to compare */
        {"1234=1 1234A=2", "1234A=2", "1234-1234A="},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sample old, new;
        struct list_walk walk = {parse(&old, cases[i].before), parse(&new, cases[i].after), 0, 0};
        const struct list_item *before, *after;
        enum list_change change;
        char seen[64] = "";

        while (list_walk_next(&walk, &change, &before, &after)) {
            strcat(seen, before != NULL ? before->key : after->key);
            strncat(seen, &"=+~-"[change], 1);
            assert_int_equal(before == NULL, change == LIST_ADDED);
            assert_int_equal(after == NULL, change == LIST_REMOVED);
        }
        assert_string_equal(seen, cases[i].changes);
    }
}

static struct list_loss loss_of(enum list_kind kind, const char *before, const char *after)
{
    struct sample old, new;
    struct list_loss loss;
    struct sticps_error err;

    assert_int_equal(list_loss_count(kind, parse(&old, before), parse(&new, after), &loss, &err),
                     STICPS_OK);
    return loss;
}

static void a_loss_has_a_name_of_its_own(void **state)
{
    const struct list_loss loss = loss_of(LIST_CPS, "A=1 B=2 C=3", "A=1");

    (void)state;
    assert_int_equal(loss.lost, 2);
    assert_int_equal(loss.of, 3);
    assert_int_equal(strlen(loss.confirm), LIST_CONFIRM_SIZE - 1);
    /* what is lost counts, not what stays, comes or changes */
    assert_string_equal(loss_of(LIST_CPS, "A=1 B=2 C=3", "A=9 D=4").confirm, loss.confirm);
    assert_string_equal(loss_of(LIST_CPS, "B=7 C=3", "").confirm, loss.confirm);
    assert_string_not_equal(loss_of(LIST_CPS, "A=1 B=2 C=3", "").confirm, loss.confirm);
    assert_string_not_equal(loss_of(LIST_CPS, "A=1 B=2 C=3", "A=1 B=2").confirm, loss.confirm);
    assert_string_not_equal(loss_of(LIST_CPS, "A=1 BC=2", "A=1").confirm, loss.confirm);
    assert_string_not_equal(loss_of(LIST_CA, "A=1 B=2 C=3", "A=1").confirm, loss.confirm);
}

static void the_brake_needs_both(void **state)
{
    static const struct {
        unsigned entries, percent;
        size_t lost, of;
        bool holds;
    } cases[] = {
        {20, 20, 0, 0, false},
        {20, 20, 20, 20, false},
        {20, 20, 21, 21, true},
        {20, 20, 21, 105, false},
        {20, 20, 21, 104, true},
        {20, 20, 5000, 25000, false},
        {20, 20, 5001, 25000, true},
        {1, 100, 25000, 25000, false},
        {1, 99, 1, 1, false},
        {1, 99, 2, 2, true},
        {1, 99, 2, 3, false},
        {1, 99, 199, 200, true},
        {1, 1, SIZE_MAX / 100, SIZE_MAX / 100, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct config_brake brake = {cases[i].entries, cases[i].percent};
        const struct list_loss loss = {.lost = cases[i].lost, .of = cases[i].of};

        assert_int_equal(list_brake_holds(&brake, &loss), cases[i].holds);
    }
}

static void what_is_no_list_is_refused(void **state)
{
    static const char *const texts[] = {"", "a.b", "a.b.c", "e30.e30.AA", "{}"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        for (size_t kind = 0; kind < LIST_KINDS; kind++) {
            struct list_content *content = NULL;
            struct sticps_error err = {0};

            assert_int_equal(list_content_parse(kind, texts[i], strlen(texts[i]), &content, &err),
                             STICPS_ERR_STATE);
            assert_null(content);
            assert_non_null(strstr(err.text, list_kind_name(kind)));
        }
    list_content_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_walk_names_every_key_once_in_order),
        cmocka_unit_test(a_loss_has_a_name_of_its_own),
        cmocka_unit_test(the_brake_needs_both),
        cmocka_unit_test(what_is_no_list_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

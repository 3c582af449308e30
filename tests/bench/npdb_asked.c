#include "tests/bench/npdb_asked.h"

#include "tests/bench/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THOUSANDS 10000000u /* seven digits */

static void die(const char *what)
{
    fprintf(stderr, "npdb_measure: %s\n", what);
    exit(1);
}

/* assigned[t]: somebody has the thousand t. A row of seven digits says more than one of six. */
static void read_row(const char *line, unsigned char *assigned)
{
    char *rest;
    unsigned long prefix = strtoul(line, &rest, 10);
    int somebody = strcmp(rest, ",-\n") != 0;
    if (rest - line == 7 && prefix < THOUSANDS && *rest == ',')
        assigned[prefix] = somebody ? 2 : 3;
    else if (rest - line == 6 && *rest == ',')
        for (unsigned long i = prefix * 10; i < prefix * 10 + 10; i++)
            assigned[i] = assigned[i] > 1 ? assigned[i] : (unsigned char)somebody;
    else
        die("a row of the blocks is not NPA-NXX,SPC or NPA-NXX-X,SPC");
}

static void read_thousands(const char *blocks_csv, struct asked *asked)
{
    unsigned char *assigned = calloc(THOUSANDS, 1);
    FILE *file = fopen(blocks_csv, "r");
    if (assigned == NULL || file == NULL)
        die("cannot read the blocks");
    for (char line[64]; fgets(line, sizeof(line), file) != NULL;)
        read_row(line, assigned);
    fclose(file);
    asked->thousands = malloc(THOUSANDS * sizeof(*asked->thousands));
    if (asked->thousands == NULL)
        die("out of memory");
    for (uint32_t i = 0; i < THOUSANDS; i++)
        if (assigned[i] == 1 || assigned[i] == 2)
            asked->thousands[asked->thousands_len++] = i;
    free(assigned);
    if (asked->thousands_len == 0)
        die("the blocks name nobody");
}

struct asked asked_new(const char *blocks_csv, size_t len, uint64_t seed)
{
    struct asked asked = {.len = len, .numbers = malloc(len * sizeof(*asked.numbers))};
    if (asked.numbers == NULL)
        die("out of memory");
    read_thousands(blocks_csv, &asked);
    struct random random = random_stream(seed, 0);
    for (size_t i = 0; i < len; i++) {
        uint32_t thousand = asked.thousands[random_below(&random, (uint32_t)asked.thousands_len)];
        asked.numbers[i] =
            UINT64_C(10000000000) + thousand * UINT64_C(1000) + random_below(&random, 1000);
    }
    return asked;
}

void asked_free(struct asked *asked)
{
    free(asked->thousands);
    free(asked->numbers);
}

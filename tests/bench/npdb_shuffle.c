#include "tests/bench/npdb_shuffle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t)1 << 21)
#define ROW_TEXT 22 /* ten digits, then the text of the LRN */

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* "00" to "99", so that a division yields two digits. */
static char pairs[100][2];

static void put_digits(char *out, uint64_t number)
{
    uint32_t high = (uint32_t)(number / 1000000), low = (uint32_t)(number % 1000000);
    memcpy(out, pairs[high / 100], 2);
    memcpy(out + 2, pairs[high % 100], 2);
    memcpy(out + 4, pairs[low / 10000], 2);
    memcpy(out + 6, pairs[low / 100 % 100], 2);
    memcpy(out + 8, pairs[low % 100], 2);
}

static void text_flush(struct shuffle *shuffle)
{
    for (size_t done = 0; done < shuffle->text_len;) {
        ssize_t n = write(shuffle->file, shuffle->text + done, shuffle->text_len - done);
        if (n < 0)
            die("cannot write the rows");
        done += (size_t)n;
    }
    shuffle->text_len = 0;
}

static void row_write(struct shuffle *shuffle, uint64_t row)
{
    if (shuffle->text_len + ROW_TEXT > SHUFFLE_TEXT)
        text_flush(shuffle);
    char *out = shuffle->text + shuffle->text_len;
    put_digits(out, row >> 16);
    memcpy(out + 10, shuffle->lrn[row & 0xffff], 12);
    shuffle->text_len += ROW_TEXT;
}

void shuffle_init(struct shuffle *shuffle, int file, const char (*lrn)[12], uint64_t seed)
{
    *shuffle = (struct shuffle){.file = file, .lrn = lrn, .random = random_stream(seed, 1)};
    const size_t bytes = SHUFFLE_ROWS * sizeof(*shuffle->rows);
    shuffle->rows = aligned_alloc(HUGE_PAGE, bytes);
    shuffle->text = malloc(SHUFFLE_TEXT);
    if (shuffle->rows == NULL || shuffle->text == NULL)
        die("no memory to shuffle rows");
    (void)madvise(shuffle->rows, bytes, MADV_HUGEPAGE); /* each row goes anywhere */
    for (unsigned i = 0; i < 100; i++) {
        pairs[i][0] = (char)('0' + i / 10);
        pairs[i][1] = (char)('0' + i % 10);
    }
}

void shuffle_add(struct shuffle *shuffle, uint64_t row)
{
    if (shuffle->len < SHUFFLE_ROWS) {
        shuffle->rows[shuffle->len++] = row;
        return;
    }
    size_t slot = shuffle->handed++ % SHUFFLE_AHEAD;
    if (shuffle->handed > SHUFFLE_AHEAD) {
        uint64_t *place = &shuffle->rows[shuffle->waiting[slot].place];
        row_write(shuffle, *place);
        *place = shuffle->waiting[slot].row;
    }
    size_t place = random_below(&shuffle->random, SHUFFLE_ROWS);
    __builtin_prefetch(&shuffle->rows[place], 1);
    shuffle->waiting[slot].row = row;
    shuffle->waiting[slot].place = place;
}

void shuffle_end(struct shuffle *shuffle)
{
    size_t waiting = shuffle->handed < SHUFFLE_AHEAD ? shuffle->handed : SHUFFLE_AHEAD;
    for (size_t i = 0; i < waiting; i++)
        row_write(shuffle, shuffle->waiting[i].row);
    size_t places[SHUFFLE_AHEAD] = {0};
    for (size_t i = 0; i < shuffle->len + SHUFFLE_AHEAD; i++) {
        if (i >= SHUFFLE_AHEAD) { /* its place was drawn, and fetched, that many turns ago */
            uint64_t *place = &shuffle->rows[places[i % SHUFFLE_AHEAD]];
            row_write(shuffle, *place);
            *place = shuffle->rows[shuffle->len - 1 - (i - SHUFFLE_AHEAD)];
        }
        if (i < shuffle->len) {
            places[i % SHUFFLE_AHEAD] =
                random_below(&shuffle->random, (uint32_t)(shuffle->len - i));
            __builtin_prefetch(&shuffle->rows[places[i % SHUFFLE_AHEAD]], 1);
        }
    }
    text_flush(shuffle);
    free(shuffle->rows);
    free(shuffle->text);
}

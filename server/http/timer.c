#include "server/http/timer.h"

#include <stdlib.h>
#include <time.h>

uint64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Slots are 1-based in `timer->slot`, so that zeroed memory is a timer at rest. */
static void place(struct timer_heap *heap, struct timer *timer, size_t index)
{
    heap->slots[index] = timer;
    timer->slot = index + 1;
}

static void sift_up(struct timer_heap *heap, struct timer *timer, size_t index)
{
    while (index > 0) {
        size_t parent = (index - 1) / 2;
        if (heap->slots[parent]->due_ms <= timer->due_ms)
            break;
        place(heap, heap->slots[parent], index);
        index = parent;
    }
    place(heap, timer, index);
}

static void sift_down(struct timer_heap *heap, struct timer *timer, size_t index)
{
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= heap->len)
            break;
        if (child + 1 < heap->len && heap->slots[child + 1]->due_ms < heap->slots[child]->due_ms)
            child++;
        if (timer->due_ms <= heap->slots[child]->due_ms)
            break;
        place(heap, heap->slots[child], index);
        index = child;
    }
    place(heap, timer, index);
}

void timer_heap_add(struct timer_heap *heap, struct timer *timer, uint64_t due_ms)
{
    timer_heap_remove(heap, timer);
    if (heap->len == heap->capacity) {
        heap->capacity = heap->capacity == 0 ? 64 : heap->capacity * 2;
        heap->slots = reallocarray(heap->slots, heap->capacity, sizeof(*heap->slots));
        if (heap->slots == NULL)
            abort();
    }
    timer->due_ms = due_ms;
    sift_up(heap, timer, heap->len++);
}

void timer_heap_remove(struct timer_heap *heap, struct timer *timer)
{
    if (timer->slot == 0)
        return;
    size_t index = timer->slot - 1;
    timer->slot = 0;
    struct timer *last = heap->slots[--heap->len];
    if (last == timer)
        return;
    if (index > 0 && last->due_ms < heap->slots[(index - 1) / 2]->due_ms)
        sift_up(heap, last, index);
    else
        sift_down(heap, last, index);
}

struct timer *timer_heap_pop(struct timer_heap *heap, uint64_t now_ms)
{
    if (heap->len == 0 || heap->slots[0]->due_ms > now_ms)
        return NULL;
    struct timer *timer = heap->slots[0];
    timer_heap_remove(heap, timer);
    return timer;
}

int timer_heap_wait(const struct timer_heap *heap, uint64_t now_ms, int limit)
{
    if (heap->len == 0)
        return limit;
    uint64_t due = heap->slots[0]->due_ms;
    if (due <= now_ms)
        return 0;
    return due - now_ms < (uint64_t)limit ? (int)(due - now_ms) : limit;
}

void timer_heap_clear(struct timer_heap *heap)
{
    for (size_t i = 0; i < heap->len; i++)
        heap->slots[i]->slot = 0;
    free(heap->slots);
    *heap = (struct timer_heap){0};
}

bool timer_running(const struct timer *timer)
{
    return timer->slot != 0;
}

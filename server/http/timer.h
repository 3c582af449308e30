/* One-shot timers on a server thread, by the monotonic clock: h2o's own are driven by wall-clock
 * time and know one list per duration. A binary heap; start and stop cost O(log n). On the thread
 * itself only. */
#ifndef SERVER_HTTP_TIMER_H
#define SERVER_HTTP_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server_thread;
struct timer;

typedef void timer_callback(struct timer *timer);

/* Embedded by its owner, zeroed before first use. The callback may start it again or free it. */
struct timer {
    timer_callback *callback;
    uint64_t due_ms;
    size_t slot; /* 1-based place in the heap; 0: not running */
};

/* The heap alone, for the server and for tests. */
struct timer_heap {
    struct timer **slots;
    size_t len, capacity;
};
void timer_heap_add(struct timer_heap *heap, struct timer *timer, uint64_t due_ms);
void timer_heap_remove(struct timer_heap *heap, struct timer *timer); /* not running: nothing */
/* Takes out and returns one that is due at `now_ms`, or NULL. */
struct timer *timer_heap_pop(struct timer_heap *heap, uint64_t now_ms);
/* Milliseconds until the next is due, at most `limit`. */
int timer_heap_wait(const struct timer_heap *heap, uint64_t now_ms, int limit);
void timer_heap_clear(struct timer_heap *heap);

/* Monotonic time. */
uint64_t monotonic_ms(void);
uint64_t monotonic_us(void);

/* Starts a timer, or starts it anew. */
void timer_start(struct server_thread *thread, struct timer *timer, unsigned ms,
                 timer_callback *callback);
void timer_stop(struct server_thread *thread, struct timer *timer);
bool timer_running(const struct timer *timer);

#endif

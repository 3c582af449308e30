#include "server/registry/list_board.h"

#include "server/http/server.h"
#include "server/registry/daemon.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define NODES_MAX 64 /* as many as the configuration allows threads */

struct list_board {
    pthread_mutex_t lock;
    struct published_list *current[LIST_KINDS];
    _Atomic int64_t newest[LIST_KINDS]; /* sequence of current; 0 before the first */
    struct node *nodes[NODES_MAX];
};

enum sticps_err list_board_new(struct list_board **out, struct sticps_error *err)
{
    struct list_board *board = calloc(1, sizeof(*board));

    if (board == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    pthread_mutex_init(&board->lock, NULL);
    *out = board;
    return STICPS_OK;
}

void list_board_free(struct list_board *board)
{
    if (board == NULL)
        return;
    for (size_t kind = 0; kind < LIST_KINDS; kind++)
        published_list_unref(board->current[kind]);
    pthread_mutex_destroy(&board->lock);
    free(board);
}

enum sticps_err list_board_join(struct list_board *board, struct node *node,
                                struct sticps_error *err)
{
    enum sticps_err rc = fail(err, STICPS_ERR_USAGE, NULL, "more than %d threads", NODES_MAX);

    pthread_mutex_lock(&board->lock);
    for (size_t i = 0; i < NODES_MAX && rc != STICPS_OK; i++) {
        if (board->nodes[i] != NULL)
            continue;
        board->nodes[i] = node;
        for (size_t kind = 0; kind < LIST_KINDS; kind++)
            node->lists[kind] =
                board->current[kind] != NULL ? published_list_ref(board->current[kind]) : NULL;
        rc = STICPS_OK;
    }
    pthread_mutex_unlock(&board->lock);
    return rc;
}

void list_board_leave(struct list_board *board, struct node *node)
{
    pthread_mutex_lock(&board->lock);
    for (size_t i = 0; i < NODES_MAX; i++)
        if (board->nodes[i] == node)
            board->nodes[i] = NULL;
    pthread_mutex_unlock(&board->lock);
    for (size_t kind = 0; kind < LIST_KINDS; kind++) {
        published_list_unref(node->lists[kind]);
        node->lists[kind] = NULL;
    }
    node->left = true;
}

const struct published_list *list_board_current(struct node *node, enum list_kind kind)
{
    struct list_board *board = node->daemon->board;
    struct published_list **held = &node->lists[kind];
    int64_t sequence = *held != NULL ? (*held)->sequence : 0;

    if (!node->left && sequence < atomic_load(&board->newest[kind])) {
        published_list_unref(*held);
        *held = list_board_get(board, kind);
    }
    return *held;
}

/* On the node's thread, and once more after it has left, for what was under way. */
static void on_news(void *arg)
{
    struct node *node = arg;

    if (node->left)
        return;
    for (size_t kind = 0; kind < LIST_KINDS; kind++)
        list_board_current(node, kind); /* an idle thread lets go of the old one too */
    proof_service_look(node);           /* there may be other STI-CAs */
}

void list_board_put(struct list_board *board, struct published_list *list)
{
    struct published_list **current = &board->current[list->kind];

    pthread_mutex_lock(&board->lock);
    if (*current == NULL || (*current)->sequence < list->sequence) {
        published_list_unref(*current);
        *current = published_list_ref(list);
        atomic_store(&board->newest[list->kind], list->sequence);
        for (size_t i = 0; i < NODES_MAX; i++)
            if (board->nodes[i] != NULL &&
                !loop_post(board->nodes[i]->thread, on_news, board->nodes[i]))
                continue; /* its thread is ending */
    }
    pthread_mutex_unlock(&board->lock);
}

struct published_list *list_board_get(struct list_board *board, enum list_kind kind)
{
    pthread_mutex_lock(&board->lock);
    struct published_list *list =
        board->current[kind] != NULL ? published_list_ref(board->current[kind]) : NULL;
    pthread_mutex_unlock(&board->lock);
    return list;
}

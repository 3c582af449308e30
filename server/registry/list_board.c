#include "server/registry/list_board.h"

#include "server/http/server.h"
#include "server/registry/daemon.h"

#include <pthread.h>
#include <stdlib.h>

#define NODES_MAX 64 /* as many as the configuration allows threads */

struct list_board {
    pthread_mutex_t lock;
    struct published_list *current[LIST_KINDS];
    struct node *nodes[NODES_MAX];
};

struct delivery {
    struct node *node;
    struct published_list *list;
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

/* On the node's thread, and once more after it has left, for what was under way. */
static void on_delivery(void *arg)
{
    struct delivery *delivery = arg;
    struct node *node = delivery->node;
    struct published_list **held = &node->lists[delivery->list->kind];

    if (!node->left && (*held == NULL || (*held)->sequence < delivery->list->sequence)) {
        published_list_unref(*held);
        *held = delivery->list;
        proof_service_look(node); /* there may be other STI-CAs */
    } else {
        published_list_unref(delivery->list);
    }
    free(delivery);
}

static void deliver(struct node *node, struct published_list *list)
{
    struct delivery *delivery = malloc(sizeof(*delivery));

    if (delivery == NULL)
        abort(); /* a daemon may; serving an old list for ever may not */
    *delivery = (struct delivery){node, published_list_ref(list)};
    if (!loop_post(node->thread, on_delivery, delivery)) {
        published_list_unref(list);
        free(delivery);
    }
}

void list_board_put(struct list_board *board, struct published_list *list)
{
    struct published_list **current = &board->current[list->kind];

    pthread_mutex_lock(&board->lock);
    if (*current == NULL || (*current)->sequence < list->sequence) {
        published_list_unref(*current);
        *current = published_list_ref(list);
        for (size_t i = 0; i < NODES_MAX; i++)
            if (board->nodes[i] != NULL)
                deliver(board->nodes[i], list);
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

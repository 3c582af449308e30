/* Hands each new list of either kind to every server thread: the publisher thread puts it up, each
 * thread takes a reference of its own, so that serving a list shares nothing but one number. That
 * number is what keeps the threads together: once any of them has served a list, none serves an
 * older one, which a client would take for a rollback (PROTOCOL section 2, rule 8). */
#ifndef REGISTRY_LIST_BOARD_H
#define REGISTRY_LIST_BOARD_H

#include "common/error.h"
#include "server/registry/published_list.h"

struct list_board;
struct node;

enum sticps_err list_board_new(struct list_board **out, struct sticps_error *err) STICPS_MUST_CHECK;
void list_board_free(struct list_board *board); /* accepts NULL; after all nodes have left */

/* A server thread begins and ends; on that thread. Joining gives it the current lists. */
enum sticps_err list_board_join(struct list_board *board, struct node *node,
                                struct sticps_error *err) STICPS_MUST_CHECK;
void list_board_leave(struct list_board *board, struct node *node);

/* Puts up a list; the caller keeps its reference. One that is not newer than the current one of
 * its kind is ignored. Any thread. */
void list_board_put(struct list_board *board, struct published_list *list);

/* The current list of a kind, or NULL before the first; borrowed until the next call for this node.
 * On the node's thread. */
const struct published_list *list_board_current(struct node *node, enum list_kind kind);

/* A reference to the current list of a kind, or NULL. Any thread. */
struct published_list *list_board_get(struct list_board *board, enum list_kind kind);

#endif

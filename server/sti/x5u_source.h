/* Chains for credentials through libsticps: the answers, which come on the client's own thread, are
 * carried to the server thread that asked. One per server thread, made by main. */
#ifndef SERVER_STI_X5U_SOURCE_H
#define SERVER_STI_X5U_SOURCE_H

#include "server/sti/credentials.h"

struct server_thread;
struct sticps_client;

struct x5u_source {
    struct x5u_fetcher fetcher; /* first: what credentials call */
    struct sticps_client *client;
    struct server_thread *thread;
};

/* Both are borrowed. A fetch under way holds the thread. */
void x5u_source_init(struct x5u_source *source, struct sticps_client *client,
                     struct server_thread *thread);

#endif

/* Tells systemd how the daemon is (sd_notify(3)): READY=1 and the like, one datagram to the socket
 * that NOTIFY_SOCKET names. Nothing happens where there is none. Called by server. */
#ifndef SERVER_HTTP_SD_NOTIFY_H
#define SERVER_HTTP_SD_NOTIFY_H

#include <stdint.h>

/* `state` as in sd_notify(3), e.g. "READY=1". What cannot be sent is lost. */
void sd_notify_send(const char *state);

/* Every how many milliseconds the service manager wants a sign of life of this process
 * (WATCHDOG_USEC); 0 when it wants none. */
uint64_t sd_notify_watchdog_ms(void);

#endif

#include "server/http/client_address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum sticps_err proxies_parse(char *const *texts, size_t len, struct trusted_proxies *out,
                              struct sticps_error *err)
{
    struct trusted_proxies proxies = {calloc(len + 1, sizeof(struct network)), len};
    enum sticps_err rc = STICPS_OK;

    if (proxies.networks == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    for (size_t i = 0; i < len && rc == STICPS_OK; i++) {
        rc = network_parse(texts[i], strlen(texts[i]), &proxies.networks[i], err);
        if (rc != STICPS_OK)
            fail_context(err, "proxy.trusted: %s", texts[i]);
    }
    if (rc == STICPS_OK)
        *out = proxies;
    else
        proxies_clear(&proxies);
    return rc;
}

void proxies_clear(struct trusted_proxies *proxies)
{
    free(proxies->networks);
    *proxies = (struct trusted_proxies){NULL, 0};
}

enum sticps_err proxies_check(char *const *texts, size_t len, bool protocol,
                              struct sticps_error *err)
{
    struct trusted_proxies proxies;
    enum sticps_err rc = proxies_parse(texts, len, &proxies, err);

    if (rc != STICPS_OK)
        return rc;
    proxies_clear(&proxies);
    if (protocol && len == 0)
        return fail(err, STICPS_ERR_USAGE, NULL,
                    "proxy.protocol needs proxy.trusted: name the proxies that speak it");
    return STICPS_OK;
}

void client_address_of(const struct sockaddr *address, struct client_address *out)
{
    *out = (struct client_address){.key = limits_key_of(address)};
    if (out->key.bytes[0] == 4)
        inet_ntop(AF_INET, out->key.bytes + 1, out->text, sizeof(out->text));
    else if (address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, out->text,
                  sizeof(out->text));
}

void client_address_of_connection(int fd, const struct sockaddr *address,
                                  struct client_address *out)
{
    struct ucred user = {.uid = (uid_t)-1};
    socklen_t len = sizeof(user);
    client_address_of(address, out);
    if (address->sa_family != AF_UNIX)
        return;
    (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &user, &len);
    out->key.bytes[0] = 1;
    memcpy(out->key.bytes + 1, &user.uid, sizeof(user.uid));
    snprintf(out->text, sizeof(out->text), "uid:%u", (unsigned)user.uid);
}

bool proxies_trust(const struct trusted_proxies *proxies, const struct sockaddr *address)
{
    for (size_t i = 0; i < proxies->len; i++)
        if (network_has(&proxies->networks[i], address))
            return true;
    return false;
}

/* One part of the header, without the space around it. False when it is no address. */
static bool parse(const char *text, size_t len, struct sockaddr_storage *out)
{
    struct sockaddr_in *four = (struct sockaddr_in *)out;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
    char copy[INET6_ADDRSTRLEN];

    if (len >= sizeof(copy))
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, copy, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        return true;
    }
    six->sin6_family = AF_INET6;
    return inet_pton(AF_INET6, copy, &six->sin6_addr) == 1;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

void client_address_forwarded(const struct trusted_proxies *proxies, const char *forwarded,
                              struct client_address *out)
{
    size_t end = forwarded != NULL ? strlen(forwarded) : 0;
    struct sockaddr_storage address;

    while (end > 0) {
        size_t start = end, last = end;

        while (start > 0 && forwarded[start - 1] != ',')
            start--;
        end = start > 0 ? start - 1 : 0;
        while (start < last && is_space(forwarded[start]))
            start++;
        while (last > start && is_space(forwarded[last - 1]))
            last--;
        if (!parse(forwarded + start, last - start, &address))
            return;
        client_address_of((struct sockaddr *)&address, out);
        if (!proxies_trust(proxies, (struct sockaddr *)&address))
            return;
    }
}

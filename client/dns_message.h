/* Reads a DNS message (RFC 1035): the question, then the records of the answer and the authority
 * section, one by one. What a server sends is never trusted: every length is checked, a compressed
 * name only ever leads back. Called by enum_answer. No allocation; any thread. */
#ifndef CLIENT_DNS_MESSAGE_H
#define CLIENT_DNS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_NAME_SIZE 256

enum { DNS_TYPE_NS = 2, DNS_TYPE_CNAME = 5, DNS_TYPE_SOA = 6, DNS_TYPE_NAPTR = 35 };
enum { DNS_CLASS_IN = 1 };
enum { DNS_RCODE_OK = 0, DNS_RCODE_NO_SUCH_NAME = 3 };

/* The question's name is as those of records: lower case, dots between labels, none at the end;
 * what no host name has is '?', and so like no name that is asked for. */
struct dns_message {
    const unsigned char *data;
    size_t len, at; /* of the next record */
    unsigned rcode, answers, authorities;
    unsigned left; /* records of both sections */
    bool truncated;
    bool broken; /* a record is not well formed; those after it are lost */
    uint16_t type, class;
    char name[DNS_NAME_SIZE];
};

struct dns_record {
    bool is_answer; /* else of the authority section */
    uint16_t type, class;
    uint32_t ttl;             /* seconds; 0 for what RFC 2181 s8 calls out of range */
    size_t data_at, data_len; /* of message->data */
    char name[DNS_NAME_SIZE];
};

/* False for what is no answer to one question. `data` stays the caller's. */
bool dns_message_read(struct dns_message *out, const void *data, size_t len);

/* The next record; false behind the last, or when message->broken. */
bool dns_message_next(struct dns_message *message, struct dns_record *out);

/* Goes back to the first record. */
void dns_message_rewind(struct dns_message *message);

/* The name at *at, which then is behind it. False when it is not well formed. */
bool dns_message_name(const struct dns_message *message, size_t *at, char out[DNS_NAME_SIZE]);

uint16_t dns_message_u16(const struct dns_message *message, size_t at);
uint32_t dns_message_u32(const struct dns_message *message, size_t at);

#endif

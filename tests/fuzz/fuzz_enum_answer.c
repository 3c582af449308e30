/* client/enum_answer and client/dns_message: whatever a DNS server sends, as it is, and as what
 * stands behind the header and the question that were asked for. */
#include "client/enum_answer.h"
#include "tests/fuzz/target.h"

#include <string.h>

static const struct tn tn = {"12025550123"};

static void check(const void *message, size_t len, const char *name)
{
    struct enum_answer answer, again;
    struct sticps_error err = {.code = STICPS_OK};
    enum_answer_read(message, len, name, &tn, 1, &answer, &err);
    enum_answer_read(message, len, name, &tn, 1, &again, NULL);
    MUST(answer.result == again.result && answer.ttl == again.ttl);
    MUST((answer.result == NUMBER_FAILED) == (err.code != STICPS_OK));
    size_t digits = strnlen(answer.lrn.digits, sizeof(answer.lrn.digits));
    MUST(digits <= TN_MAX_DIGITS && strspn(answer.lrn.digits, "0123456789") == digits);
    MUST((answer.result == NUMBER_FOUND) == (digits > 0));
    MUST(memcmp(&answer.lrn, &tn, sizeof(tn)) != 0);
    MUST(answer.ttl <= INT32_MAX || answer.result != NUMBER_FOUND);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char name[DNS_NAME_SIZE];
    enum_name(&tn, "e164.arpa", name);
    check(data, len, name);

    /* the first two bytes: how many answers, how many of authority */
    unsigned char header[12] = {0, 0, 0x81, 0x80, 0, 1};
    unsigned char *message = malloc(sizeof(header) + DNS_NAME_SIZE + 4 + len);
    MUST(message != NULL);
    if (len >= 2) {
        header[7] = data[0];
        header[9] = data[1];
        memcpy(message, header, sizeof(header));
        size_t at = sizeof(header);
        for (const char *label = name; *label != '\0';) {
            size_t size = strcspn(label, ".");
            message[at++] = (unsigned char)size;
            memcpy(message + at, label, size);
            at += size;
            label += size + (label[size] == '.');
        }
        memcpy(message + at, "\0\0\43\0\1", 5);
        at += 5;
        memcpy(message + at, data + 2, len - 2);
        unsigned char *exact = malloc(at + len - 2); /* its end is the sanitizer's, too */
        MUST(exact != NULL);
        memcpy(exact, message, at + len - 2);
        check(exact, at + len - 2, name);
        free(exact);
    }
    free(message);
    return 0;
}

/* client/enum_answer, dns_message and tel_uri: what a DNS message says of a number, and what is
 * refused of it. */
#include "client/enum_answer.h"
#include "client/tel_uri.h"

#include "tests/unit/pki.h"

#include "tests/unit/dns_bytes.h"

static const struct tn tn = {"12025550123"};
static char name[DNS_NAME_SIZE];

#define PORTED "!^.*$!tel:+12025550123;npdi;rn=+13035550000!"

static struct enum_answer read_it(const struct dns_bytes *message, struct sticps_error *err)
{
    struct enum_answer answer;
    *err = (struct sticps_error){.code = STICPS_OK};
    enum_answer_read(message->data, message->len, name, &tn, 1, &answer, err);
    return answer;
}

static void check(const struct dns_bytes *message, enum number_result result, const char *lrn,
                  uint32_t ttl, const char *text)
{
    struct sticps_error err;
    struct enum_answer answer = read_it(message, &err);
    if (answer.result != result || strcmp(answer.lrn.digits, lrn) != 0 || answer.ttl != ttl ||
        strstr(err.text, text) == NULL || (result == NUMBER_FAILED) != (err.code != STICPS_OK))
        fail_msg("%d %s ttl %u: %s", (int)answer.result, answer.lrn.digits, answer.ttl, err.text);
}

static void test_name(void **state)
{
    (void)state;
    assert_string_equal(name, "3.2.1.0.5.5.5.2.0.2.1.e164.test");
}

static void test_one_record(void **state)
{
    static const struct {
        const char *flags, *services, *regexp;
        enum number_result result;
        const char *lrn, *text;
    } rows[] = {
        {"u", "E2U+pstn:tel", PORTED, NUMBER_FOUND, "13035550000", ""},
        {"U", "e2u+PSTN:tel", PORTED, NUMBER_FOUND, "13035550000", ""},
        {"u", "E2U+sip+pstn:tel+x", PORTED, NUMBER_FOUND, "13035550000", ""},
        {"u", "E2U+pstn:tel", "/^.*$/tel:+12025550123;rn=+13035550000/i", NUMBER_FOUND,
         "13035550000", ""},
        {"u", "E2U+pstn:tel", "!^(.*)$!tel:+1-202-555-0123;NPDI;RN=+1-303-555-0000!", NUMBER_FOUND,
         "13035550000", ""},
        {"u", "E2U+pstn:tel", "!^.*$!tel:+12025550123;rn=3035550000;rn-context=+1!", NUMBER_FOUND,
         "13035550000", ""},
        {"u", "E2U+pstn:tel", "!^.*$!tel:+12025550123;npdi;rn=3035550000!", NUMBER_FOUND,
         "13035550000", ""},
        {"u", "E2U+pstn:tel", "!^.*$!tel:+12025550123;npdi;cic=+1-6789!", NUMBER_NOT_FOUND, "", ""},
        {"u", "E2U+pstn:tel", "!^.*$!tel:+12025550123!", NUMBER_NOT_FOUND, "", ""},
        {"u", "E2U+pstn:tel", "!^.*$!tel:+12025550123;npdi;rn=+12025550123!", NUMBER_NOT_FOUND, "",
         ""}, /* of itself: not ported */
        /* of another service */
        {"u", "E2U+sip", "!^.*$!sip:a@b!", NUMBER_NOT_FOUND, "", ""},
        {"u", "E2U+pstn:sip", PORTED, NUMBER_NOT_FOUND, "", ""},
        {"u", "pstn:tel+E2U", PORTED, NUMBER_NOT_FOUND, "", ""},
        {"u", "E2U+pstn:telephone", PORTED, NUMBER_NOT_FOUND, "", ""},
        {"u", "", PORTED, NUMBER_NOT_FOUND, "", ""},
        /* that cannot be used */
        {"", "E2U+pstn:tel", PORTED, NUMBER_FAILED, "", "not u"},
        {"s", "E2U+pstn:tel", PORTED, NUMBER_FAILED, "", "not u"},
        {"u", "E2U+pstn:tel", "", NUMBER_FAILED, "", "!pattern!"},
        {"u", "E2U+pstn:tel", "!^.*$!tel:+12025550123", NUMBER_FAILED, "", "!pattern!"},
        {"u", "E2U+pstn:tel", "1^.*$1tel:+22025550123;rn=+33035550000", NUMBER_FAILED, "",
         "!pattern!"},
        {"u", "E2U+pstn:tel", "!^\\+1(.*)$!tel:+12025550123;rn=+13035550000!", NUMBER_FAILED, "",
         "pattern"},
        {"u", "E2U+pstn:tel", "!^(.*)$!tel:\\1;rn=+13035550000!", NUMBER_FAILED, "", "refers back"},
        {"u", "E2U+pstn:tel", "!^.*$!tel:+12025550123;rn=+13035550000!g", NUMBER_FAILED, "",
         "flag"},
        {"u", "E2U+pstn:tel", "!^.*$!sip:+12025550123@b!", NUMBER_FAILED, "", "tel URI"},
        {"u", "E2U+pstn:tel", "!^.*$!tel:2025550123;phone-context=+1!", NUMBER_FAILED, "",
         "tel URI"},
        {"u", "E2U+pstn:tel", "!^.*$!tel:+12025550124;rn=+13035550000!", NUMBER_FAILED, "",
         "another number"},
        {"u", "E2U+pstn:tel", "!^.*$!tel:+12025550123;rn=+1303555000A!", NUMBER_FAILED, "",
         "routing number"},
        {"u", "E2U+pstn:tel", "!^.*$!tel:+12025550123;rn=!", NUMBER_FAILED, "", "routing number"},
        {"u", "E2U+pstn:tel", "!^.*$!tel:+12025550123;rn=1234;rn-context=x.example!", NUMBER_FAILED,
         "", "beginning"},
        {"u", "E2U+pstn:tel", "!^.*$!tel:+12025550123;rn=1234!", NUMBER_FAILED, "", "rn-context"},
        {"u", "E2U+pstn:tel", "!^.*$!tel:+12025550123;rn=+13035550000;rn=+13035550001!",
         NUMBER_FAILED, "", "twice"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dns_bytes message;
        struct sticps_error err;
        put_header(&message, 7, 0x8180, name);
        put_naptr(&message, name, 10, 10, rows[i].flags, rows[i].services, rows[i].regexp, 77);
        struct enum_answer answer = read_it(&message, &err);
        if (answer.result != rows[i].result || strcmp(answer.lrn.digits, rows[i].lrn) != 0 ||
            strstr(err.text, rows[i].text) == NULL || answer.ttl != 77)
            fail_msg("row %zu: %d %s: %s", i, (int)answer.result, answer.lrn.digits, err.text);
    }
}

static void test_the_first_of_use(void **state)
{
    struct dns_bytes message;
    (void)state;
    put_header(&message, 7, 0x8180, name);
    put_naptr(&message, name, 1, 1, "u", "E2U+pstn:tel", "!x!y!", 300);
    put_naptr(&message, name, 20, 1, "u", "E2U+pstn:tel", "!^.*$!tel:+12025550123;rn=+13035550001!",
              300);
    put_naptr(&message, name, 10, 20, "u", "E2U+pstn:tel",
              "!^.*$!tel:+12025550123;rn=+13035550002!", 60);
    put_naptr(&message, name, 10, 10, "u", "E2U+pstn:tel", PORTED, 300);
    put_naptr(&message, name, 5, 1, "u", "E2U+sip", "!^.*$!sip:a@b!", 300);
    check(&message, NUMBER_FOUND, "13035550000", 60, "");
}

static void test_aliases(void **state)
{
    struct dns_bytes message;
    (void)state;
    put_header(&message, 7, 0x8180, name);
    size_t begin = begin_record(&message, 0, name, DNS_TYPE_CNAME, 30);
    put_name(&message, "a.example");
    end_record(&message, begin);
    struct dns_bytes dangling = message, loop = message;
    put_naptr(&message, "A.example", 1, 1, "u", "E2U+pstn:tel", PORTED, 300);
    check(&message, NUMBER_FOUND, "13035550000", 30, "");
    check(&dangling, NUMBER_FAILED, "", 30, "neither answers");
    put_soa(&dangling, 300, 20);
    check(&dangling, NUMBER_NOT_FOUND, "", 20, "");
    begin = begin_record(&loop, 0, "a.example", DNS_TYPE_CNAME, 30);
    put_name(&loop, name);
    end_record(&loop, begin);
    check(&loop, NUMBER_FAILED, "", 30, "without an end");
}

static void test_nothing(void **state)
{
    struct dns_bytes message;
    (void)state;
    put_header(&message, 7, 0x8183, name); /* no such name */
    check(&message, NUMBER_NOT_FOUND, "", 0, "");
    put_soa(&message, 900, 40);
    check(&message, NUMBER_NOT_FOUND, "", 40, "");
    put_header(&message, 7, 0x8180, name); /* no such type */
    check(&message, NUMBER_FAILED, "", 0, "neither answers");
    put_soa(&message, 15, 40);
    check(&message, NUMBER_NOT_FOUND, "", 15, "");
    put_header(&message, 7, 0x8180, name); /* a referral */
    size_t begin = begin_record(&message, 1, "test", DNS_TYPE_NS, 9);
    put_name(&message, "ns.test");
    end_record(&message, begin);
    check(&message, NUMBER_FAILED, "", 0, "neither answers");
}

static void test_of_other_names(void **state)
{
    struct dns_bytes message;
    char other[DNS_NAME_SIZE];
    const struct tn other_tn = {"12025550124"};
    (void)state;
    enum_name(&other_tn, "e164.test", other);
    put_header(&message, 7, 0x8180, name);
    put_naptr(&message, other, 1, 1, "u", "E2U+pstn:tel", PORTED, 300);
    check(&message, NUMBER_FAILED, "", 0, "neither answers");
    put_header(&message, 7, 0x8180, other);
    put_naptr(&message, name, 1, 1, "u", "E2U+pstn:tel", PORTED, 300);
    check(&message, NUMBER_FAILED, "", 0, "another question");
}

static void test_not_well_formed(void **state)
{
    struct dns_bytes message, whole;
    struct sticps_error err;
    (void)state;
    put_header(&whole, 7, 0x8180, name);
    put_naptr(&whole, name, 1, 1, "u", "E2U+pstn:tel", PORTED, 300);
    for (size_t len = 0; len < whole.len; len++) { /* each byte is needed */
        message = whole;
        message.len = len;
        assert_int_equal(read_it(&message, &err).result, NUMBER_FAILED);
    }
    message = whole;
    message.data[2] = 0x01; /* a query */
    check(&message, NUMBER_FAILED, "", 0, "no DNS message");
    message.data[2] = 0x83;
    check(&message, NUMBER_FAILED, "", 0, "truncated");
    message = whole;
    message.data[3] = 0x85;
    check(&message, NUMBER_FAILED, "", 0, "error 5");
    message = whole;
    message.data[5] = 2;
    check(&message, NUMBER_FAILED, "", 0, "no DNS message");
    message = whole;
    message.data[6] = 1; /* 257 answers */
    check(&message, NUMBER_FAILED, "", 0, "larger");
    put_header(&message, 7, 0x8180, name);
    message.data[7] = 1;
    size_t here = message.len;
    put_u16(&message, 0xc000 | (unsigned)here); /* a name that leads to itself */
    put_bytes(&message, whole.data, 40);
    check(&message, NUMBER_FAILED, "", 0, "breaks off");
}

static int set_up(void **state)
{
    (void)state;
    enum_name(&tn, "e164.test", name);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_one_record),
        cmocka_unit_test(test_the_first_of_use),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_of_other_names),
        cmocka_unit_test(test_not_well_formed),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}

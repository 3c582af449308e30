#include "common/hsm/token.h"

#include "common/hsm/uri.h"

#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SLOTS 256

struct token {
    CK_FUNCTION_LIST *module;
    bool initialized, session_open;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    CK_TOKEN_INFO info;
};

static enum sticps_err refuse(struct sticps_error *err, const char *what, CK_RV rv)
{
    return fail(err, STICPS_ERR_CRYPTO, "key", "the HSM: %s (%s, 0x%lx)", what,
                p11_kit_strerror(rv), rv);
}

/* ---- the module ---- */

static enum sticps_err load_module(struct token *token, const char *path, struct sticps_error *err)
{
    p11_kit_be_quiet(); /* it would write on standard error, which is the daemons' log */
    token->module = p11_kit_module_load(path, 0);
    if (token->module == NULL) {
        const char *said = p11_kit_message();

        return fail(err, STICPS_ERR_FILE, path, "%s: not a PKCS#11 module that can be loaded (%s)",
                    path, said != NULL ? said : "no reason given");
    }
    CK_RV rv = p11_kit_module_initialize(token->module);
    if (rv != CKR_OK)
        return refuse(err, "its module cannot be initialized", rv);
    token->initialized = true;
    return STICPS_OK;
}

/* ---- the token ---- */

static bool matches(const struct token *token, P11KitUri *uri, CK_SLOT_ID id, CK_TOKEN_INFO *info)
{
    CK_SLOT_INFO slot;
    CK_SLOT_ID wanted = p11_kit_uri_get_slot_id(uri);

    return token->module->C_GetSlotInfo(id, &slot) == CKR_OK &&
           token->module->C_GetTokenInfo(id, info) == CKR_OK &&
           (info->flags & CKF_TOKEN_INITIALIZED) != 0 &&
           (wanted == (CK_SLOT_ID)-1 || wanted == id) &&
           p11_kit_uri_match_slot_info(uri, &slot) == 1 &&
           p11_kit_uri_match_token_info(uri, info) == 1;
}

/* Exactly one: another token that happens to answer to the name must not be logged in to. */
static enum sticps_err find_slot(struct token *token, P11KitUri *uri, CK_SLOT_ID *out,
                                 struct sticps_error *err)
{
    CK_SLOT_ID slots[MAX_SLOTS];
    CK_ULONG len = 0;
    unsigned found = 0;
    /* asked for the number first, a module looks again at what is plugged in (PKCS#11 s5.5) */
    CK_RV rv = token->module->C_GetSlotList(CK_TRUE, NULL, &len);

    len = MAX_SLOTS;
    if (rv == CKR_OK)
        rv = token->module->C_GetSlotList(CK_TRUE, slots, &len);
    if (rv != CKR_OK)
        return refuse(err, "its tokens cannot be listed", rv);
    for (CK_ULONG i = 0; i < len; i++) {
        CK_TOKEN_INFO info;

        if (!matches(token, uri, slots[i], &info))
            continue;
        found++;
        *out = slots[i];
        token->info = info;
    }
    if (found == 0)
        return fail(err, STICPS_ERR_CRYPTO, "key",
                    "the HSM: no token that the pkcs11: URI names is there (of %lu)", len);
    if (found > 1)
        return fail(err, STICPS_ERR_CRYPTO, "key",
                    "the HSM: the pkcs11: URI names %u tokens: add serial= to it", found);
    return STICPS_OK;
}

/* ---- login ---- */

static enum sticps_err log_in(struct token *token, const struct pin *pin, struct pin_memory *memory,
                              struct sticps_error *err)
{
    if (pin_was_refused(memory, pin))
        return fail(err, STICPS_ERR_CRYPTO, "pin_file",
                    "the HSM has refused this PIN before, and it is not tried again, because the "
                    "token would lock itself: correct pin_file");
    if ((token->info.flags & CKF_USER_PIN_LOCKED) != 0)
        return fail(err, STICPS_ERR_CRYPTO, "key",
                    "the HSM: the token's user PIN is locked: its security officer must set it "
                    "anew");
    if ((token->info.flags & CKF_USER_PIN_FINAL_TRY) != 0)
        return fail(err, STICPS_ERR_CRYPTO, "key",
                    "the HSM: one more wrong PIN would lock the token, so none is tried: log in "
                    "by hand once");
    CK_RV rv = token->module->C_Login(token->session, CKU_USER, (CK_UTF8CHAR *)pin->data, pin->len);
    if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN) /* by another key of this process */
        return STICPS_OK;
    if (rv == CKR_PIN_INCORRECT || rv == CKR_PIN_INVALID || rv == CKR_PIN_LEN_RANGE ||
        rv == CKR_PIN_EXPIRED || rv == CKR_PIN_LOCKED)
        pin_note_refusal(memory, pin);
    return refuse(err, "the token refuses the PIN of pin_file", rv);
}

static enum sticps_err authenticate(struct token *token, const char *pin_file,
                                    struct pin_memory *memory, struct sticps_error *err)
{
    struct pin pin;

    if (pin_file == NULL) {
        if ((token->info.flags & CKF_LOGIN_REQUIRED) == 0)
            return STICPS_OK;
        return fail(err, STICPS_ERR_FILE, "pin_file",
                    "the token asks for a PIN: pin_file is missing");
    }
    enum sticps_err rc = pin_read(pin_file, &pin, err);
    if (rc != STICPS_OK)
        return rc;
    rc = log_in(token, &pin, memory, err);
    pin_clear(&pin);
    return rc;
}

/* ---- the key ---- */

/* Curves by name (RFC 5480 s2.1.1): the DER of the OID of P-256. */
static enum sticps_err check_curve(const struct token *token, struct sticps_error *err)
{
    static const unsigned char p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48,
                                         0xce, 0x3d, 0x03, 0x01, 0x07};
    unsigned char params[256];
    CK_ATTRIBUTE attribute = {CKA_EC_PARAMS, params, sizeof(params)};
    CK_RV rv = token->module->C_GetAttributeValue(token->session, token->key, &attribute, 1);

    if (rv != CKR_OK)
        return refuse(err, "the key's curve cannot be read", rv);
    if (attribute.ulValueLen != sizeof(p256) || memcmp(params, p256, sizeof(p256)) != 0)
        return fail(err, STICPS_ERR_CRYPTO, "key", "the HSM: the key is not on the curve P-256");
    return STICPS_OK;
}

static enum sticps_err find_key(struct token *token, P11KitUri *uri, struct sticps_error *err)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_KEY_TYPE type = CKK_EC;
    CK_ATTRIBUTE template[4] = {{CKA_CLASS, &class, sizeof(class)},
                                {CKA_KEY_TYPE, &type, sizeof(type)}};
    CK_ULONG len = 2, found = 0;
    CK_OBJECT_HANDLE keys[2];
    const CK_ATTRIBUTE *label = p11_kit_uri_get_attribute(uri, CKA_LABEL);
    const CK_ATTRIBUTE *id = p11_kit_uri_get_attribute(uri, CKA_ID);

    if (label != NULL)
        template[len++] = *label;
    if (id != NULL)
        template[len++] = *id;
    CK_RV rv = token->module->C_FindObjectsInit(token->session, template, len);
    if (rv == CKR_OK) {
        rv = token->module->C_FindObjects(token->session, keys, 2, &found);
        (void)token->module->C_FindObjectsFinal(token->session);
    }
    if (rv != CKR_OK)
        return refuse(err, "its keys cannot be listed", rv);
    if (found == 0)
        return fail(err, STICPS_ERR_CRYPTO, "key",
                    "the HSM: the token has no private EC key that the pkcs11: URI names");
    if (found > 1)
        return fail(err, STICPS_ERR_CRYPTO, "key",
                    "the HSM: the pkcs11: URI names several private keys of the token: add id= to "
                    "it, or give each key a label (object=) of its own");
    token->key = keys[0];
    return check_curve(token, err);
}

/* ---- public ---- */

static enum sticps_err open_all(struct token *token, const struct hsm_source *source,
                                P11KitUri *uri, struct pin_memory *memory, struct sticps_error *err)
{
    CK_SLOT_ID slot = 0;
    enum sticps_err rc = load_module(token, source->module, err);

    if (rc == STICPS_OK)
        rc = find_slot(token, uri, &slot, err);
    if (rc != STICPS_OK)
        return rc;
    CK_RV rv = token->module->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &token->session);
    if (rv != CKR_OK)
        return refuse(err, "no session with the token", rv);
    token->session_open = true;
    rc = authenticate(token, source->pin_file, memory, err);
    return rc == STICPS_OK ? find_key(token, uri, err) : rc;
}

enum sticps_err token_open(const struct hsm_source *source, struct pin_memory *memory,
                           struct token **out, struct sticps_error *err)
{
    P11KitUri *uri = NULL;
    enum sticps_err rc = hsm_uri_parse(source->uri, &uri, err);

    if (rc != STICPS_OK)
        return rc;
    struct token *token = calloc(1, sizeof(*token));
    rc = token == NULL ? fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory")
                       : open_all(token, source, uri, memory, err);
    p11_kit_uri_free(uri);
    if (rc != STICPS_OK) {
        token_close(token);
        return rc;
    }
    *out = token;
    return STICPS_OK;
}

void token_close(struct token *token)
{
    if (token == NULL)
        return;
    /* No C_Logout: it would end the login of every session of this process; the last session's end
     * is the login's too. */
    if (token->session_open)
        (void)token->module->C_CloseSession(token->session);
    if (token->initialized)
        (void)p11_kit_module_finalize(token->module);
    if (token->module != NULL)
        p11_kit_module_release(token->module);
    free(token);
}

enum sticps_err token_sign(struct token *token, const unsigned char digest[ES256_DIGEST],
                           unsigned char raw[ES256_SIGNATURE], struct sticps_error *err)
{
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_ULONG len = ES256_SIGNATURE;
    unsigned char input[ES256_DIGEST]; /* PKCS#11 takes no const */

    memcpy(input, digest, sizeof(input));
    CK_RV rv = token->module->C_SignInit(token->session, &mechanism, token->key);
    if (rv == CKR_OK)
        rv = token->module->C_Sign(token->session, input, sizeof(input), raw, &len);
    if (rv != CKR_OK)
        return refuse(err, "it does not sign", rv);
    if (len != ES256_SIGNATURE)
        return fail(err, STICPS_ERR_CRYPTO, "key", "the HSM: a signature of %lu bytes, not %d", len,
                    ES256_SIGNATURE);
    return STICPS_OK;
}

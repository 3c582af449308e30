#include "common/hsm/uri.h"

static enum sticps_err check(P11KitUri *uri, struct sticps_error *err)
{
    const CK_ATTRIBUTE *class = p11_kit_uri_get_attribute(uri, CKA_CLASS);

    if (p11_kit_uri_get_pin_value(uri) != NULL || p11_kit_uri_get_pin_source(uri) != NULL)
        return fail(err, STICPS_ERR_USAGE, "key",
                    "a PIN in the pkcs11: URI would be read by others: put it in a file of its "
                    "own, and its name in pin_file");
    if (p11_kit_uri_get_module_path(uri) != NULL || p11_kit_uri_get_module_name(uri) != NULL)
        return fail(err, STICPS_ERR_USAGE, "key",
                    "the pkcs11: URI names a module: put its path in module instead");
    if (class != NULL && (class->ulValueLen != sizeof(CK_OBJECT_CLASS) ||
                          *(const CK_OBJECT_CLASS *)class->pValue != CKO_PRIVATE_KEY))
        return fail(err, STICPS_ERR_USAGE, "key", "the pkcs11: URI must say type=private, or none");
    if (p11_kit_uri_any_unrecognized(uri))
        return fail(err, STICPS_ERR_USAGE, "key",
                    "the pkcs11: URI has an attribute that is not known; token, serial, object and "
                    "id name a key");
    return STICPS_OK;
}

enum sticps_err hsm_uri_parse(const char *text, P11KitUri **out, struct sticps_error *err)
{
    P11KitUri *uri = p11_kit_uri_new();

    if (uri == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    int status = p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, uri);
    enum sticps_err rc = STICPS_OK;

    if (status != P11_KIT_URI_OK)
        rc = fail(err, STICPS_ERR_USAGE, "key", "the pkcs11: URI is not one of RFC 7512 (%s)",
                  p11_kit_uri_message(status));
    else
        rc = check(uri, err);
    if (rc != STICPS_OK) {
        p11_kit_uri_free(uri);
        return rc;
    }
    *out = uri;
    return STICPS_OK;
}

#include "tests/unit/pkcs11_shim.h"

#include <dlfcn.h>
#include <stddef.h>

#define SOFTHSM "/usr/lib/softhsm/libsofthsm2.so"
#define EXPORT __attribute__((visibility("default")))

EXPORT struct shim shim;
EXPORT CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list);

static CK_FUNCTION_LIST *real, mine;

static CK_RV on_initialize(void *arguments)
{
    CK_RV rv = real->C_Initialize(arguments);
    shim.initialized += rv == CKR_OK;
    return rv;
}

static CK_RV on_finalize(void *reserved)
{
    CK_RV rv = real->C_Finalize(reserved);
    shim.initialized -= rv == CKR_OK;
    return rv;
}

static CK_RV on_get_slot_list(CK_BBOOL present, CK_SLOT_ID_PTR slots, CK_ULONG_PTR len)
{
    if (shim.absent && present) {
        *len = 0;
        return CKR_OK;
    }
    return real->C_GetSlotList(present, slots, len);
}

static CK_RV on_get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
    CK_RV rv = real->C_GetTokenInfo(slot, info);
    info->flags |= shim.token_flags;
    return rv;
}

static CK_RV on_login(CK_SESSION_HANDLE session, CK_USER_TYPE type, CK_UTF8CHAR_PTR pin,
                      CK_ULONG len)
{
    shim.logins++;
    return real->C_Login(session, type, pin, len);
}

static CK_RV on_sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG len, CK_BYTE_PTR out,
                     CK_ULONG_PTR out_len)
{
    if (shim.fail_signs > 0) {
        shim.fail_signs--;
        return shim.fail_with;
    }
    CK_RV rv = real->C_Sign(session, data, len, out, out_len);
    if (shim.bad_signs > 0) {
        shim.bad_signs--;
        out[10] ^= 1;
    }
    return rv;
}

EXPORT CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
    if (real == NULL) {
        void *library = dlopen(SOFTHSM, RTLD_NOW | RTLD_LOCAL);
        CK_C_GetFunctionList get = NULL;
        if (library != NULL)
            *(void **)&get = dlsym(library, "C_GetFunctionList");
        if (get == NULL || get(&real) != CKR_OK)
            return CKR_GENERAL_ERROR;
        mine = *real;
        mine.C_GetFunctionList = C_GetFunctionList;
        mine.C_Initialize = on_initialize;
        mine.C_Finalize = on_finalize;
        mine.C_GetSlotList = on_get_slot_list;
        mine.C_GetTokenInfo = on_get_token_info;
        mine.C_Login = on_login;
        mine.C_Sign = on_sign;
    }
    *list = &mine;
    return CKR_OK;
}

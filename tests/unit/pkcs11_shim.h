/* A PKCS#11 module that passes everything to SoftHSM and can be told to misbehave as real devices
 * do. pkcs11_shim.c is the module; a test finds `shim` in it by dlsym. */
#ifndef TESTS_UNIT_PKCS11_SHIM_H
#define TESTS_UNIT_PKCS11_SHIM_H

#include <p11-kit/pkcs11.h>

struct shim {
    int logins;           /* C_Login calls so far */
    int initialized;      /* C_Initialize without its C_Finalize */
    int fail_signs;       /* so many C_Sign to come give … */
    CK_RV fail_with;      /* … this */
    int bad_signs;        /* so many C_Sign to come give a signature that does not match */
    int absent;           /* no token is plugged in */
    CK_FLAGS token_flags; /* added to what C_GetTokenInfo says */
};

#endif

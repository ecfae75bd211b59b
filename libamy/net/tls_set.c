/* Several certificates for one name: which, and a context that holds them. */
/* Not for who asks (tls.c), nor for what is in one (tls_cert.c). */
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "net/tls_internal.h"

#include <string.h>

bool
amy__tls_choose(struct amy__tls_cert *const *certs, size_t count,
                const char *name, struct amy__tls_choice *ret_choice)
{
    bool found = false;

    *ret_choice = (struct amy__tls_choice){0};
    for (size_t i = 0; i < count; i++) {
        enum amy__tls_type type = amy__tls_cert_type(certs[i]);

        if (ret_choice->borrow_certs[type] == NULL &&
            amy__tls_cert_covers(certs[i], name)) {
            ret_choice->borrow_certs[type] = certs[i];
            found = true;
        }
    }
    if (!found && count > 0) {
        ret_choice->borrow_certs[amy__tls_cert_type(certs[0])] = certs[0];
        found = true;
    }
    return found;
}

AMY_DEFINE_CLEANUP(struct amy__tls_set *, amy__tls_set_unref)

void
amy__tls_set_unref(struct amy__tls_set *set)
{
    if (set == NULL || --set->refs > 0) {
        return;
    }
    for (int i = 0; i < AMY__TLS_TYPES; i++) {
        amy__tls_cert_unref(set->certs[i]);
    }
    SSL_CTX_free(set->ctx);
    amy__free(set);
}

bool
amy__tls_set_is(const struct amy__tls_set *set,
                const struct amy__tls_choice *choice)
{
    return memcmp(set->certs, choice->borrow_certs, sizeof(set->certs)) == 0;
}

/* The certificate's own context does where it is the only one. */
static int
use_only(struct amy__tls_set *set, const struct amy__tls_cert *cert,
         struct amy_error *err)
{
    if (SSL_CTX_up_ref(cert->ctx) != 1) {
        return amy__err(err, AMY_ENOMEM, "sharing a TLS context");
    }
    set->ctx = cert->ctx;
    return 0;
}

/* One more beside those of other types (SSL_CTX_use_certificate(3)). */
static int
add_cert(SSL_CTX *ctx, const struct amy__tls_cert *cert, struct amy_error *err)
{
    STACK_OF(X509) *chain = NULL;

    if (SSL_CTX_get0_chain_certs(cert->ctx, &chain) != 1 ||
        SSL_CTX_use_cert_and_key(ctx, cert->leaf,
                                 SSL_CTX_get0_privatekey(cert->ctx), chain,
                                 0) != 1) {
        return amy__tls_err(err, AMY_EINVAL,
                            "certificates not usable together");
    }
    return 0;
}

int
amy__tls_set_create(const struct amy__tls_choice *choice,
                    struct amy__tls_set **ret_set, struct amy_error *err)
{
    AMY_CLEANUP(amy__tls_set_unref_p)
    struct amy__tls_set *set = amy__calloc(1, sizeof(*set));
    const struct amy__tls_cert *last = NULL;
    int count = 0;
    int rc = 0;

    if (set == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a set of certificates");
    }
    set->refs = 1;
    for (int i = 0; i < AMY__TLS_TYPES; i++) {
        if (choice->borrow_certs[i] != NULL) {
            last = set->certs[i] = amy__tls_cert_ref(choice->borrow_certs[i]);
            count++;
        }
    }
    if (count < 2) {
        rc = last == NULL ? amy__err(err, AMY_EINVAL, "no certificate chosen")
                          : use_only(set, last, err);
    } else {
        set->ctx = amy__tls_context(err);
        rc = set->ctx == NULL ? AMY_ENOMEM : 0;
    }
    for (int i = 0; rc == 0 && count > 1 && i < AMY__TLS_TYPES; i++) {
        if (set->certs[i] != NULL) {
            rc = add_cert(set->ctx, set->certs[i], err);
        }
    }
    if (rc == 0) {
        *ret_set = AMY_TAKE(set);
    }
    return rc;
}

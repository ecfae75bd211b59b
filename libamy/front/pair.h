/* A certificate as it lies on disk: a chain and its key, read, proven to fit,
 * and sealed for handing on. */
#ifndef AMY_FRONT_PAIR_H
#define AMY_FRONT_PAIR_H

#include <amy/error.h>

#include "front/bundle.h"
#include "net/tls.h"

#include <stdint.h>

struct amy__pair {
    struct amy__tls_cert *cert; /* NULL: none */
    struct amy__bundle_cert sealed;
    uint8_t digest[32]; /* of both files */
};

/* Read both files, links followed: only root, or the person that runs us, has
 * named them, and certbot's live/ is made of links. *ret_file: of the two, the
 * one at fault. Neither names nor dates are judged.
 * @return 0, AMY_ENOTFOUND, AMY_EDENIED, AMY_EIO, AMY_ELIMIT, AMY_EPARSE,
 *         AMY_EINVAL (no regular file; the key of another chain), AMY_ENOMEM */
int amy__pair_read(const char *chain_path, const char *key_path,
                   struct amy__pair *ret_pair, const char **ret_file,
                   struct amy_error *err);
/* Give it back; it is none then. */
void amy__pair_clear(struct amy__pair *pair);

#endif

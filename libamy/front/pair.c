/* Reading a chain and its key from two files. */
/* Not for keeping them, nor for judging names and dates: front/certs.c. */
#include "front/pair.h"

#include "core/cleanup.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PEM_MAX ((size_t)1024 * 1024)

/* What was read, the chain first: one buffer, so that one digest says whether
 * anything changed. */
struct texts {
    struct amy__buf both;
    size_t chain_n;
};

static void
clear_texts_p(struct texts *texts)
{
    if (texts->both.data != NULL) {
        amy__wipe(texts->both.data, texts->both.len);
    }
    amy__buf_clear(&texts->both);
}

static struct amy__span
chain_of(const struct texts *texts)
{
    return (struct amy__span){texts->both.data, texts->chain_n};
}

static struct amy__span
key_of(const struct texts *texts)
{
    return (struct amy__span){texts->both.data + texts->chain_n,
                              texts->both.len - texts->chain_n};
}

static int
read_path(const char *path, struct amy__buf *out, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p)
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st = {0};
    ssize_t n = 0;
    int rc = 0;

    if (fd < 0 || fstat(fd, &st) != 0) {
        return amy__err_sys(err, errno, "reading '%s'", path);
    }
    if (!S_ISREG(st.st_mode)) {
        return amy__err(err, AMY_EINVAL, "'%s' is not a regular file", path);
    }
    /* At once, so that no copy of a key stays where a buffer has been. */
    if ((uint64_t)st.st_size > PEM_MAX) {
        return amy__err(err, AMY_ELIMIT, "'%s' is too large", path);
    }
    rc = amy__buf_reserve(out, (size_t)st.st_size + 1);
    if (rc < 0) {
        return amy__err(err, rc, "reading '%s'", path);
    }
    do {
        n = read(fd, out->data + out->len, out->cap - out->len);
        if (n < 0) {
            return amy__err_sys(err, errno, "reading '%s'", path);
        }
        out->len += (size_t)n;
    } while (n > 0 && out->len < out->cap);
    return n > 0 ? amy__err(err, AMY_EIO, "'%s' grew while it was read", path)
                 : 0;
}

static int
seal(const struct texts *texts, struct amy__bundle_cert *ret,
     struct amy_error *err)
{
    struct amy__span chain = chain_of(texts);
    struct amy__span key = key_of(texts);

    ret->chain_fd = amy__sealed_memfd("amy-chain", chain.p, chain.n, err);
    if (ret->chain_fd < 0) {
        return ret->chain_fd;
    }
    ret->key_fd = amy__sealed_memfd("amy-key", key.p, key.n, err);
    return ret->key_fd < 0 ? ret->key_fd : 0;
}

int
amy__pair_read(const char *chain_path, const char *key_path,
               struct amy__pair *ret_pair, const char **ret_file,
               struct amy_error *err)
{
    AMY_CLEANUP(clear_texts_p) struct texts texts = {.chain_n = 0};
    struct amy__pair pair = {.sealed = {-1, -1}};
    int rc = 0;

    amy__buf_init(&texts.both, 2 * PEM_MAX + 2);
    *ret_file = chain_path;
    rc = read_path(chain_path, &texts.both, err);
    texts.chain_n = texts.both.len;
    if (rc == 0) {
        rc = amy__tls_cert_create(chain_of(&texts), &pair.cert, err);
    }
    if (rc == 0) {
        *ret_file = key_path;
        rc = read_path(key_path, &texts.both, err);
    }
    if (rc == 0) {
        rc = amy__tls_cert_add_key(pair.cert, key_of(&texts), err);
    }
    if (rc == 0) {
        rc = seal(&texts, &pair.sealed, err);
    }
    if (rc == 0) {
        rc = amy__sha256(texts.both.data, texts.both.len, pair.digest, err);
    }
    if (rc < 0) {
        amy__pair_clear(&pair);
        return rc;
    }
    *ret_pair = pair;
    return 0;
}

void
amy__pair_clear(struct amy__pair *pair)
{
    amy__tls_cert_unref(pair->cert);
    amy__close(&pair->sealed.chain_fd);
    amy__close(&pair->sealed.key_fd);
    *pair = (struct amy__pair){.sealed = {-1, -1}};
}

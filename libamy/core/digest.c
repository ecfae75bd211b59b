/* SHA-256, random bytes and secrets, by OpenSSL. */
/* Not for TLS or signatures: those are net/tls.c and their rooms. */
#include "core/digest.h"

#include "core/error.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <limits.h>

static int
fail(struct amy_error *err, const char *what)
{
    unsigned long number = ERR_get_error();
    const char *reason = ERR_reason_error_string(number);

    (void)amy__err(err, AMY_EIO, "%s: %s", what,
                   reason == NULL ? "unknown" : reason);
    if (err != NULL) {
        err->source = AMY_SOURCE_TLS;
        err->detail = (int64_t)number;
    }
    return AMY_EIO;
}

int
amy__sha256(const void *data, size_t n, uint8_t ret_digest[32],
            struct amy_error *err)
{
    uint8_t digest[EVP_MAX_MD_SIZE] = {0};

    if (EVP_Digest(data, n, digest, NULL, EVP_sha256(), NULL) != 1) {
        return fail(err, "hashing");
    }
    for (size_t i = 0; i < 32; i++) {
        ret_digest[i] = digest[i];
    }
    return 0;
}

/* --- in pieces: an EVP_MD_CTX, under a name that needs no OpenSSL --- */

static EVP_MD_CTX *
context(struct amy__sha256 *hash)
{
    return (EVP_MD_CTX *)hash;
}

int
amy__sha256_create(struct amy__sha256 **ret_hash, struct amy_error *err)
{
    EVP_MD_CTX *made = EVP_MD_CTX_new();

    if (made == NULL) {
        return amy__err(err, AMY_ENOMEM, "hashing");
    }
    if (EVP_DigestInit_ex(made, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(made);
        return fail(err, "hashing");
    }
    *ret_hash = (struct amy__sha256 *)made;
    return 0;
}

int
amy__sha256_update(struct amy__sha256 *hash, const void *data, size_t n,
                   struct amy_error *err)
{
    return EVP_DigestUpdate(context(hash), data, n) == 1 ? 0
                                                         : fail(err, "hashing");
}

int
amy__sha256_finish(struct amy__sha256 *hash, char ret_hex[65],
                   struct amy_error *err)
{
    uint8_t digest[EVP_MAX_MD_SIZE] = {0};

    if (EVP_DigestFinal_ex(context(hash), digest, NULL) != 1) {
        return fail(err, "hashing");
    }
    amy__hex(digest, 32, ret_hex);
    return 0;
}

void
amy__sha256_free(struct amy__sha256 *hash)
{
    EVP_MD_CTX_free(context(hash));
}

int
amy__random(void *ret, size_t n, struct amy_error *err)
{
    if (n > INT_MAX) {
        return amy__err(err, AMY_EINVAL, "%zu random bytes are too many", n);
    }
    if (RAND_bytes(ret, (int)n) != 1) {
        return fail(err, "random bytes");
    }
    return 0;
}

void
amy__hex(const uint8_t *data, size_t n, char *ret)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        ret[2 * i] = digits[data[i] >> 4];
        ret[2 * i + 1] = digits[data[i] & 15];
    }
    ret[2 * n] = '\0';
}

static int
digit_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

bool
amy__unhex(const char *digits, size_t n, uint8_t *ret)
{
    for (size_t i = 0; i < n; i++) {
        int high = digit_value(digits[2 * i]);
        int low = high < 0 ? -1 : digit_value(digits[2 * i + 1]);

        if (low < 0) {
            return false;
        }
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return digits[2 * n] == '\0';
}

bool
amy__equal_secret(const void *a, const void *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}

void
amy__wipe(void *data, size_t n)
{
    OPENSSL_cleanse(data, n);
}

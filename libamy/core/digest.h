/* Hashes, random bytes and constant-time comparison, on OpenSSL. */
#ifndef AMY_CORE_DIGEST_H
#define AMY_CORE_DIGEST_H

#include <amy/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int amy__sha256(const void *data, size_t n, uint8_t ret_digest[32],
                struct amy_error *err);
/* The same over several pieces. finish: once; 64 digits and a NUL. */
struct amy__sha256;
int amy__sha256_create(struct amy__sha256 **ret_hash, struct amy_error *err);
int amy__sha256_update(struct amy__sha256 *hash, const void *data, size_t n,
                       struct amy_error *err);
int amy__sha256_finish(struct amy__sha256 *hash, char ret_hex[65],
                       struct amy_error *err);
void amy__sha256_free(struct amy__sha256 *hash);
int amy__random(void *ret, size_t n, struct amy_error *err);
/* 2 * n lower-case digits and a NUL. */
void amy__hex(const uint8_t *data, size_t n, char *ret);
/* The other way round: exactly n bytes of 2 * n lower-case digits. */
bool amy__unhex(const char *digits, size_t n, uint8_t *ret);
bool amy__equal_secret(const void *a, const void *b, size_t n);
/* Overwrite so that the compiler may not leave it out. */
void amy__wipe(void *data, size_t n);

#endif

/* Replies out of bytes: gauged here, built by hiredis' reader, which is opened
 * at first use. */
#ifndef AMY_REDIS_CODEC_H
#define AMY_REDIS_CODEC_H

#include <amy/error.h>
#include <amy/redis.h>

#include "core/str.h"

#include <stddef.h>

struct amy__redis_codec;

/* max: bytes of one reply, or of those of one batch together. AMY_EUNSUPPORTED
 * names hiredis' package. */
int amy__redis_codec_create(size_t max, struct amy__redis_codec **ret_codec,
                            struct amy_error *err);
void amy__redis_codec_free(struct amy__redis_codec *codec);
/* Forget what came in: another connection begins. */
int amy__redis_codec_reset(struct amy__redis_codec *codec,
                           struct amy_error *err);

/* The next `count` replies will be one array of that many, with one bound. Only
 * where a reply may begin. */
int amy__redis_codec_expect(struct amy__redis_codec *codec, size_t count,
                            struct amy_error *err);
/* data begins with what was not used of the last call's. *ret_used bytes are
 * done with. 1: a reply, the caller's; 0: more bytes are needed. AMY_EPROTO,
 * AMY_ELIMIT, AMY_ENOMEM: of no further use before a reset. */
int amy__redis_codec_next(struct amy__redis_codec *codec, struct amy__span data,
                          size_t *ret_used, struct amy_redis_reply **ret_reply,
                          struct amy_error *err);
/* NULL is a no-op. */
void amy__redis_codec_drop(const struct amy__redis_codec *codec,
                           struct amy_redis_reply *reply);

#endif

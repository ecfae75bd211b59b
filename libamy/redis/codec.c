/* hiredis as a codec: its reader, and replies as it builds them. */
/* Not for bounds (gauge.c), nor for writing (words.c) and sockets. */
#include "redis/codec.h"

#include "core/alloc.h"
#include "core/error.h"
#include "core/library.h"
#include "redis/gauge.h"

#include <hiredis/hiredis.h>

#include <stdio.h>

/* Its structures differ from one version to the next: it has to be the one
 * that this was built with. */
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define VERSION TEXT(HIREDIS_SONAME)

struct amy__redis_codec {
    redisReader *(*create)(void);
    void (*destroy)(redisReader *reader);
    int (*feed)(redisReader *reader, const char *bytes, size_t n);
    int (*get)(redisReader *reader, void **reply);
    void (*drop)(void *reply);
    redisReader *reader;
    struct amy__redis_gauge gauge;
};

static int
load(struct amy__redis_codec *codec, struct amy_error *err)
{
    const struct amy__library_symbol wanted[] = {
        {"redisReaderCreate", &codec->create},
        {"redisReaderFree", &codec->destroy},
        {"redisReaderFeed", &codec->feed},
        {"redisReaderGetReply", &codec->get},
        {"freeReplyObject", &codec->drop},
    };

    return amy__library_load("libhiredis.so." VERSION, "libhiredis" VERSION,
                             wanted, sizeof(wanted) / sizeof(wanted[0]), err);
}

int
amy__redis_codec_create(size_t max, struct amy__redis_codec **ret_codec,
                        struct amy_error *err)
{
    struct amy__redis_codec *codec = amy__calloc(1, sizeof(*codec));
    int rc = 0;

    if (codec == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a codec");
    }
    amy__redis_gauge_init(&codec->gauge, max);
    rc = load(codec, err);
    rc = rc < 0 ? rc : amy__redis_codec_reset(codec, err);
    if (rc < 0) {
        amy__redis_codec_free(codec);
        return rc;
    }
    *ret_codec = codec;
    return 0;
}

void
amy__redis_codec_free(struct amy__redis_codec *codec)
{
    if (codec == NULL) {
        return;
    }
    if (codec->reader != NULL) {
        codec->destroy(codec->reader);
    }
    amy__free(codec);
}

int
amy__redis_codec_reset(struct amy__redis_codec *codec, struct amy_error *err)
{
    redisReader *fresh = codec->create();

    if (fresh == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a reader");
    }
    if (codec->reader != NULL) {
        codec->destroy(codec->reader);
    }
    codec->reader = fresh;
    amy__redis_gauge_init(&codec->gauge, codec->gauge.max);
    return 0;
}

static int
feed(struct amy__redis_codec *codec, const char *bytes, size_t n,
     struct amy_error *err)
{
    return codec->feed(codec->reader, bytes, n) == REDIS_OK
               ? 0
               : amy__err(err, AMY_ENOMEM, "storing a reply");
}

int
amy__redis_codec_expect(struct amy__redis_codec *codec, size_t count,
                        struct amy_error *err)
{
    char head[32] = "";
    int n = snprintf(head, sizeof(head), "*%zu\r\n", count);

    amy__redis_gauge_expect(&codec->gauge, count);
    return feed(codec, head, (size_t)n, err);
}

int
amy__redis_codec_next(struct amy__redis_codec *codec, struct amy__span data,
                      size_t *ret_used, struct amy_redis_reply **ret_reply,
                      struct amy_error *err)
{
    size_t used = 0;

    while (used < data.n) {
        struct amy__span rest = {data.p + used, data.n - used};
        void *reply = NULL;
        size_t n = 0;
        int rc = amy__redis_gauge_next(&codec->gauge, rest, &n, err);

        if (rc == 1) {
            rc = feed(codec, rest.p, n, err);
        } else if (rc == 0) {
            break;
        }
        if (rc < 0) {
            return rc;
        }
        used += n;
        if (codec->get(codec->reader, &reply) != REDIS_OK) {
            return amy__err(err, AMY_EPROTO, "%s", codec->reader->errstr);
        }
        if (reply != NULL) {
            *ret_used = used;
            *ret_reply = reply;
            return 1;
        }
    }
    *ret_used = used;
    return 0;
}

void
amy__redis_codec_drop(const struct amy__redis_codec *codec,
                      struct amy_redis_reply *reply)
{
    if (reply != NULL) {
        codec->drop(reply);
    }
}

/* --- a reply is hiredis' own --- */

static const redisReply *
theirs(const struct amy_redis_reply *reply)
{
    return (const redisReply *)(const void *)reply;
}

uint32_t
amy_redis_reply_type(const struct amy_redis_reply *reply)
{
    switch (reply == NULL ? REDIS_REPLY_NIL : theirs(reply)->type) {
    case REDIS_REPLY_STRING:
        return AMY_REDIS_STRING;
    case REDIS_REPLY_STATUS:
        return AMY_REDIS_STATUS;
    case REDIS_REPLY_ERROR:
        return AMY_REDIS_ERROR;
    case REDIS_REPLY_INTEGER:
        return AMY_REDIS_INTEGER;
    case REDIS_REPLY_ARRAY:
        return AMY_REDIS_ARRAY;
    default:
        return AMY_REDIS_NIL;
    }
}

int64_t
amy_redis_reply_integer(const struct amy_redis_reply *reply)
{
    return amy_redis_reply_type(reply) == AMY_REDIS_INTEGER
               ? theirs(reply)->integer
               : 0;
}

const char *
amy_redis_reply_text(const struct amy_redis_reply *reply, size_t *ret_bytes)
{
    uint32_t type = amy_redis_reply_type(reply);
    bool has = type == AMY_REDIS_STRING || type == AMY_REDIS_STATUS ||
               type == AMY_REDIS_ERROR;

    if (ret_bytes != NULL) {
        *ret_bytes = has ? (size_t)theirs(reply)->len : 0;
    }
    return has ? theirs(reply)->str : NULL;
}

size_t
amy_redis_reply_count(const struct amy_redis_reply *reply)
{
    return amy_redis_reply_type(reply) == AMY_REDIS_ARRAY
               ? theirs(reply)->elements
               : 0;
}

const struct amy_redis_reply *
amy_redis_reply_at(const struct amy_redis_reply *reply, size_t index)
{
    return index < amy_redis_reply_count(reply)
               ? (const void *)theirs(reply)->element[index]
               : NULL;
}

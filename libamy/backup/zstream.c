/* Compresses and hashes; reads and hashes. */
/* Not for what is in the files: dump.c and verify.c. */
#include "backup/zstream.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/files.h"

#include <errno.h>
#include <unistd.h>
#include <zstd.h>

#define LEVEL 3
#define PIECE ((size_t)256 * 1024)

struct amy__zwriter {
    int fd;
    ZSTD_CCtx *zstd;
    struct amy__sha256 *hash;
    uint64_t bytes;
    uint64_t raw_bytes;
    char out[PIECE];
};

struct amy__zreader {
    int fd;
    ZSTD_DCtx *zstd;
    struct amy__sha256 *hash;
    uint64_t bytes;
    ZSTD_inBuffer in;
    size_t left; /* of the frame, as ZSTD_decompressStream says; 0: whole */
    bool at_end; /* of the file */
    char in_bytes[PIECE];
    char out_bytes[PIECE];
};

/* --- writing --- */

void
amy__zwriter_free(struct amy__zwriter *writer)
{
    if (writer == NULL) {
        return;
    }
    (void)ZSTD_freeCCtx(writer->zstd);
    amy__sha256_free(writer->hash);
    amy__free(writer);
}
AMY_DEFINE_CLEANUP(struct amy__zwriter *, amy__zwriter_free)

int
amy__zwriter_create(int fd, struct amy__zwriter **ret_writer,
                    struct amy_error *err)
{
    AMY_CLEANUP(amy__zwriter_free_p)
    struct amy__zwriter *writer = amy__calloc(1, sizeof(*writer));
    int rc = 0;

    if (writer == NULL) {
        return amy__err(err, AMY_ENOMEM, "compressing");
    }
    writer->fd = fd;
    writer->zstd = ZSTD_createCCtx();
    if (writer->zstd == NULL ||
        ZSTD_isError(ZSTD_CCtx_setParameter(writer->zstd,
                                            ZSTD_c_compressionLevel, LEVEL)) ||
        ZSTD_isError(
            ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_checksumFlag, 1))) {
        return amy__err(err, AMY_ENOMEM, "compressing");
    }
    rc = amy__sha256_create(&writer->hash, err);
    if (rc < 0) {
        return rc;
    }
    *ret_writer = AMY_TAKE(writer);
    return 0;
}

/* Compress what is there and write what comes out. */
static int
pump(struct amy__zwriter *writer, struct amy__span data, ZSTD_EndDirective how,
     struct amy_error *err)
{
    ZSTD_inBuffer in = {data.p, data.n, 0};
    size_t left = 1;

    while (in.pos < in.size || (how == ZSTD_e_end && left != 0)) {
        ZSTD_outBuffer out = {writer->out, sizeof(writer->out), 0};
        int rc = 0;

        left = ZSTD_compressStream2(writer->zstd, &out, &in, how);
        if (ZSTD_isError(left)) {
            return amy__err(err, AMY_EIO, "compressing: %s",
                            ZSTD_getErrorName(left));
        }
        rc = amy__sha256_update(writer->hash, writer->out, out.pos, err);
        if (rc == 0) {
            rc = amy__write_all(writer->fd, writer->out, out.pos, err);
        }
        if (rc < 0) {
            return rc;
        }
        writer->bytes += out.pos;
    }
    writer->raw_bytes += data.n;
    return 0;
}

int
amy__zwriter_write(struct amy__zwriter *writer, struct amy__span data,
                   struct amy_error *err)
{
    return pump(writer, data, ZSTD_e_continue, err);
}

int
amy__zwriter_finish(struct amy__zwriter *writer, char ret_sha256[65],
                    struct amy_error *err)
{
    int rc = pump(writer, (struct amy__span){"", 0}, ZSTD_e_end, err);

    return rc < 0 ? rc : amy__sha256_finish(writer->hash, ret_sha256, err);
}

uint64_t
amy__zwriter_bytes(const struct amy__zwriter *writer)
{
    return writer->bytes;
}

uint64_t
amy__zwriter_raw_bytes(const struct amy__zwriter *writer)
{
    return writer->raw_bytes;
}

/* --- reading --- */

void
amy__zreader_free(struct amy__zreader *reader)
{
    if (reader == NULL) {
        return;
    }
    (void)ZSTD_freeDCtx(reader->zstd);
    amy__sha256_free(reader->hash);
    amy__free(reader);
}
AMY_DEFINE_CLEANUP(struct amy__zreader *, amy__zreader_free)

int
amy__zreader_create(int fd, struct amy__zreader **ret_reader,
                    struct amy_error *err)
{
    AMY_CLEANUP(amy__zreader_free_p)
    struct amy__zreader *reader = amy__calloc(1, sizeof(*reader));
    int rc = 0;

    if (reader == NULL) {
        return amy__err(err, AMY_ENOMEM, "decompressing");
    }
    reader->fd = fd;
    reader->left = 1;
    reader->in = (ZSTD_inBuffer){reader->in_bytes, 0, 0};
    reader->zstd = ZSTD_createDCtx();
    if (reader->zstd == NULL) {
        return amy__err(err, AMY_ENOMEM, "decompressing");
    }
    rc = amy__sha256_create(&reader->hash, err);
    if (rc < 0) {
        return rc;
    }
    *ret_reader = AMY_TAKE(reader);
    return 0;
}

static int
fill(struct amy__zreader *reader, struct amy_error *err)
{
    ssize_t n = 0;

    do {
        n = read(reader->fd, reader->in_bytes, sizeof(reader->in_bytes));
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return amy__err_sys(err, errno, "reading");
    }
    reader->in = (ZSTD_inBuffer){reader->in_bytes, (size_t)n, 0};
    reader->bytes += (size_t)n;
    reader->at_end = n == 0;
    return amy__sha256_update(reader->hash, reader->in_bytes, (size_t)n, err);
}

int
amy__zreader_read(struct amy__zreader *reader, struct amy__span *ret_data,
                  struct amy_error *err)
{
    ZSTD_outBuffer out = {reader->out_bytes, sizeof(reader->out_bytes), 0};

    while (out.pos == 0) {
        int rc = 0;

        if (reader->in.pos == reader->in.size && !reader->at_end) {
            rc = fill(reader, err);
        }
        if (rc < 0) {
            return rc;
        }
        if (reader->at_end) {
            if (reader->left != 0) {
                return amy__err(err, AMY_EPARSE, "it is cut off");
            }
            break;
        }
        reader->left = ZSTD_decompressStream(reader->zstd, &out, &reader->in);
        if (ZSTD_isError(reader->left)) {
            return amy__err(err, AMY_EPARSE, "it is damaged: %s",
                            ZSTD_getErrorName(reader->left));
        }
    }
    *ret_data = (struct amy__span){reader->out_bytes, out.pos};
    return 0;
}

int
amy__zreader_finish(struct amy__zreader *reader, uint64_t *ret_bytes,
                    char ret_sha256[65], struct amy_error *err)
{
    while (!reader->at_end) {
        int rc = fill(reader, err);

        if (rc < 0) {
            return rc;
        }
    }
    *ret_bytes = reader->bytes;
    return amy__sha256_finish(reader->hash, ret_sha256, err);
}

/* Reads what was packed, as much at a time as is asked for. */
/* Not for packing: that is a child's work, logrotate/pack.c. */
#include "logrotate/expand.h"

#include "core/alloc.h"
#include "core/error.h"
#include "core/files.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define PIECE ((size_t)64 * 1024)
#define GZIP_ONLY (15 + 16) /* window bits, as inflateInit2 wants them */

struct amy__expand {
    int fd;
    enum amy__logname_packing packing;
    uint64_t offset; /* of the file: what was read of it */
    bool at_end;     /* of a packed file */
    bool between;    /* gzip: a member has ended, zstd: a frame has */
    z_stream gzip;
    ZSTD_DCtx *zstd;
    ZSTD_inBuffer left; /* of in */
    char in[PIECE];
};

void
amy__expand_free(struct amy__expand *expand)
{
    if (expand == NULL) {
        return;
    }
    if (expand->packing == AMY__LOGNAME_GZIP) {
        (void)inflateEnd(&expand->gzip);
    }
    (void)ZSTD_freeDCtx(expand->zstd);
    amy__close(&expand->fd);
    amy__free(expand);
}

int
amy__expand_create(int fd, enum amy__logname_packing packing,
                   struct amy__expand **ret_expand, struct amy_error *err)
{
    struct amy__expand *expand = amy__calloc(1, sizeof(*expand));
    bool ready = expand != NULL;

    if (ready) {
        expand->fd = fd;
        expand->packing = packing;
        expand->left.src = expand->in;
    }
    if (ready && packing == AMY__LOGNAME_GZIP) {
        ready = inflateInit2(&expand->gzip, GZIP_ONLY) == Z_OK;
    } else if (ready && packing == AMY__LOGNAME_ZSTD) {
        expand->zstd = ZSTD_createDCtx();
        ready = expand->zstd != NULL;
    }
    if (!ready) {
        amy__free(expand);
        amy__close(&fd);
        return amy__err(err, AMY_ENOMEM, "expanding");
    }
    *ret_expand = expand;
    return 0;
}

void
amy__expand_seek(struct amy__expand *expand, uint64_t offset)
{
    expand->offset = offset;
}

int
amy__expand_fd(const struct amy__expand *expand)
{
    return expand->fd;
}

static int
read_bytes(struct amy__expand *expand, char *buf, size_t size, size_t *ret_n,
           struct amy_error *err)
{
    ssize_t n = 0;

    do {
        n = pread(expand->fd, buf, size, (off_t)expand->offset);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return amy__err_sys(err, errno, "reading");
    }
    expand->offset += (uint64_t)n;
    *ret_n = (size_t)n;
    return 0;
}

/* A file that was made shorter (copytruncate) is read from its beginning. */
static int
read_plain(struct amy__expand *expand, char *buf, size_t size, size_t *ret_n,
           struct amy_error *err)
{
    struct stat st = {0};
    int rc = read_bytes(expand, buf, size, ret_n, err);

    if (rc == 0 && *ret_n == 0 && fstat(expand->fd, &st) == 0 &&
        (uint64_t)st.st_size < expand->offset) {
        expand->offset = 0;
        rc = read_bytes(expand, buf, size, ret_n, err);
    }
    return rc;
}

/* More of the file, where all of it was used. */
static int
fill(struct amy__expand *expand, struct amy_error *err)
{
    size_t n = 0;
    int rc = 0;

    if (expand->left.pos < expand->left.size) {
        return 0;
    }
    rc = read_bytes(expand, expand->in, sizeof(expand->in), &n, err);
    if (rc < 0) {
        return rc;
    }
    expand->left.size = n;
    expand->left.pos = 0;
    if (n == 0) {
        expand->at_end = true;
        if (!expand->between && expand->offset > 0) {
            return amy__err(err, AMY_EPARSE, "it is cut off");
        }
    }
    return 0;
}

static int
damaged(const char *how, struct amy_error *err)
{
    return amy__err(err, AMY_EPARSE, "it is damaged: %s",
                    how == NULL ? "no data of its kind" : how);
}

static int
inflate_some(struct amy__expand *expand, char *buf, size_t size, size_t *ret_n,
             struct amy_error *err)
{
    z_stream *z = &expand->gzip;
    bool begins = expand->between;
    int rc = Z_OK;

    /* zlib's type has no const; it does not write there. */
    z->next_in = (Bytef *)expand->in + expand->left.pos;
    z->avail_in = (uInt)(expand->left.size - expand->left.pos);
    z->next_out = (Bytef *)buf;
    z->avail_out = (uInt)size;
    expand->between = false;
    rc = inflate(z, Z_NO_FLUSH);
    expand->left.pos = expand->left.size - z->avail_in;
    *ret_n = size - z->avail_out;
    if (rc == Z_STREAM_END) {
        expand->between = true;
        return inflateReset(z) == Z_OK ? 0 : damaged(z->msg, err);
    }
    if (rc != Z_OK && rc != Z_BUF_ERROR) {
        /* What follows a whole member and is none is passed over, as gzip
         * does. */
        expand->at_end = begins;
        return begins ? 0 : damaged(z->msg, err);
    }
    return 0;
}

static int
decompress_some(struct amy__expand *expand, char *buf, size_t size,
                size_t *ret_n, struct amy_error *err)
{
    ZSTD_outBuffer out = {buf, size, 0};
    size_t rc = ZSTD_decompressStream(expand->zstd, &out, &expand->left);

    *ret_n = out.pos;
    if (ZSTD_isError(rc)) {
        return damaged(ZSTD_getErrorName(rc), err);
    }
    expand->between = rc == 0;
    return 0;
}

int
amy__expand_read(struct amy__expand *expand, char *buf, size_t size,
                 size_t *ret_n, struct amy_error *err)
{
    *ret_n = 0;
    if (expand->packing == AMY__LOGNAME_PLAIN) {
        return read_plain(expand, buf, size, ret_n, err);
    }
    while (*ret_n == 0 && !expand->at_end) {
        int rc = fill(expand, err);

        if (rc == 0 && !expand->at_end) {
            rc = expand->packing == AMY__LOGNAME_GZIP
                     ? inflate_some(expand, buf, size, ret_n, err)
                     : decompress_some(expand, buf, size, ret_n, err);
        }
        if (rc < 0) {
            expand->at_end = true;
            return rc;
        }
    }
    return 0;
}

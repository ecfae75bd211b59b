/* Uploads a file. */
/* Not for which files: store_s3.c. */
#include "backup/s3upload.h"

#include "backup/s3xml.h"
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/digest.h"
#include "core/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PIECE ((size_t)256 * 1024)
#define ANSWER_MAX ((size_t)64 * 1024)
#define LIST_MAX ((size_t)4 * 1024 * 1024) /* 10,000 parts */
#define QUERY_SIZE (3 * AMY__S3_UPLOAD_SIZE + 64)

AMY_DEFINE_CLEANUP(struct amy__sha256 *, amy__sha256_free)

struct upload {
    struct amy__s3 *s3;
    struct amy__job *job;
    const char *key;
    const struct amy__manifest_file *file;
    int fd;
    char id[AMY__S3_UPLOAD_SIZE];
    struct amy__sha256 *whole; /* of all that was hashed so far */
    uint64_t hashed;
    struct amy__buf list; /* of parts, as the end of the upload has it */
};

bool
amy__s3_answers(int rc)
{
    return rc != AMY_ECONN && rc != AMY_ETIMEOUT;
}

/* --- hashing --- */

/* The next n bytes: ret_hex is theirs alone. */
static int
hash_part(struct upload *upload, uint64_t n, char ret_hex[65],
          struct amy_error *err)
{
    AMY_CLEANUP(amy__sha256_free_p) struct amy__sha256 *part = NULL;
    static char piece[PIECE]; /* one process, one thread, one job */
    int rc = amy__sha256_create(&part, err);

    while (rc == 0 && n > 0) {
        ssize_t got = pread(upload->fd, piece, n < PIECE ? (size_t)n : PIECE,
                            (off_t)upload->hashed);

        if (got < 0) {
            return amy__err_sys(err, errno, "reading '%s'", upload->file->name);
        }
        if (got == 0) { /* shorter than its manifest says */
            return amy__feed_compare(upload->file, upload->hashed, "", err);
        }
        rc = amy__sha256_update(part, piece, (size_t)got, err);
        rc = rc < 0
                 ? rc
                 : amy__sha256_update(upload->whole, piece, (size_t)got, err);
        upload->hashed += (uint64_t)got;
        n -= (uint64_t)got;
    }
    return rc < 0 ? rc : amy__sha256_finish(part, ret_hex, err);
}

/* Before the object may exist: it is what the manifest says. */
static int
check_whole(struct upload *upload, struct amy_error *err)
{
    char hex[65] = "";
    int rc = amy__sha256_finish(upload->whole, hex, err);

    return rc < 0 ? rc
                  : amy__feed_compare(upload->file, upload->hashed, hex, err);
}

/* --- requests --- */

/* "x-amz-meta-sha256: ...": what the object is asked for at the end. */
static void
meta_field(const struct upload *upload, char buf[96])
{
    (void)snprintf(buf, 96, "x-amz-meta-sha256: %s", upload->file->sha256);
}

static int
ask(struct upload *upload, const struct amy__s3_request *request,
    struct amy_error *err)
{
    AMY_CLEANUP(amy__fetch_got_clear_p)
    struct amy__fetch_got got = {.status = 0};

    return amy__s3_ask(upload->s3, request, &got, err);
}

static int
put_at_once(struct upload *upload, struct amy_error *err)
{
    const struct amy__fetch_file body = {.fd = upload->fd,
                                         .bytes = upload->file->bytes};
    char meta[96];
    char hex[65] = "";
    struct amy__s3_request request = {
        .method = "PUT",
        .key = upload->key,
        .fields = {meta, "Content-Type: application/octet-stream"},
        .file = &body,
        .sha256 = hex,
        .answer_max = ANSWER_MAX};
    int rc = hash_part(upload, upload->file->bytes, hex, err);

    meta_field(upload, meta);
    rc = rc < 0 ? rc : check_whole(upload, err);
    return rc < 0 ? rc : ask(upload, &request, err);
}

static int
take_id(const char *path, const char *text, void *user, struct amy_error *err)
{
    struct upload *upload = user;

    (void)err;
    if (strcmp(path, "InitiateMultipartUploadResult/UploadId") == 0) {
        (void)amy__span_copy(amy__span_of(text), upload->id,
                             sizeof(upload->id));
    }
    return 0;
}

static int
begin(struct upload *upload, struct amy_error *err)
{
    AMY_CLEANUP(amy__fetch_got_clear_p)
    struct amy__fetch_got got = {.status = 0};
    char meta[96];
    struct amy__s3_request request = {
        .method = "POST",
        .key = upload->key,
        .query = "uploads=",
        .fields = {meta, "Content-Type: application/octet-stream",
                   "x-amz-checksum-algorithm: SHA256"},
        .answer_max = ANSWER_MAX};
    int rc = 0;

    meta_field(upload, meta);
    rc = amy__s3_ask(upload->s3, &request, &got, err);
    rc = rc < 0
             ? rc
             : amy__s3xml_read(amy__buf_span(&got.body), take_id, upload, err);
    return rc == 0 && upload->id[0] == '\0'
               ? amy__err(err, AMY_EPROTO, "S3 began no upload")
               : rc;
}

/* Sorted, as a signature wants it. part: 0: none. */
static int
write_query(const char *upload_id, unsigned part, char buf[QUERY_SIZE],
            struct amy_error *err)
{
    char id[3 * AMY__S3_UPLOAD_SIZE];

    if (!amy__s3_escape(upload_id, id, sizeof(id))) {
        return amy__err(err, AMY_EPROTO, "the id of an upload is too long");
    }
    if (part > 0) {
        (void)snprintf(buf, QUERY_SIZE, "partNumber=%u&uploadId=%s", part, id);
    } else {
        (void)snprintf(buf, QUERY_SIZE, "uploadId=%s", id);
    }
    return 0;
}

/* It is written into XML, and read by whoever gave it. */
static bool
is_etag(struct amy__span text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];

        if (c <= ' ' || c > '~' || c == '<' || c == '>' || c == '&') {
            return false;
        }
    }
    return text.n > 0 && text.n < 256;
}

static int
note_part(struct upload *upload, unsigned number, const char *hex,
          const struct amy__fetch_got *got, struct amy_error *err)
{
    struct amy__span etag = amy__fetch_field(amy__buf_span(&got->head), "etag");
    char checksum[AMY__S3_CHECKSUM_SIZE];
    int rc = 0;

    if (!is_etag(etag)) {
        return amy__err(err, AMY_EPROTO, "S3 took a part without an ETag");
    }
    amy__s3_checksum(hex, checksum);
    rc = amy__buf_appendf(&upload->list,
                          "<Part><PartNumber>%u</PartNumber><ETag>" AMY_SPAN_FMT
                          "</ETag><ChecksumSHA256>%s</ChecksumSHA256></Part>",
                          number, AMY_SPAN_ARG(etag), checksum);
    return rc < 0 ? amy__err(err, rc, "noting a part") : 0;
}

static int
send_part(struct upload *upload, unsigned number, uint64_t part_bytes,
          struct amy_error *err)
{
    AMY_CLEANUP(amy__fetch_got_clear_p)
    struct amy__fetch_got got = {.status = 0};
    struct amy__fetch_file body = {.fd = upload->fd, .offset = upload->hashed};
    uint64_t left = upload->file->bytes - upload->hashed;
    char query[QUERY_SIZE];
    char hex[65] = "";
    struct amy__s3_request request = {
        .method = "PUT",
        .key = upload->key,
        .query = query,
        .fields = {"Content-Type: application/octet-stream"},
        .file = &body,
        .sha256 = hex,
        .answer_max = ANSWER_MAX};
    int rc = write_query(upload->id, number, query, err);

    body.bytes = left < part_bytes ? left : part_bytes;
    rc = rc < 0 ? rc : hash_part(upload, body.bytes, hex, err);
    rc = rc < 0 ? rc : amy__s3_ask(upload->s3, &request, &got, err);
    return rc < 0 ? rc : note_part(upload, number, hex, &got, err);
}

/* An end that was told and whose answer was lost is no upload any more the next
 * time: whether the object is right is asked in any case. */
static int
complete(struct upload *upload, struct amy_error *err)
{
    char query[QUERY_SIZE];
    struct amy__s3_request request = {.method = "POST",
                                      .key = upload->key,
                                      .query = query,
                                      .fields = {"Content-Type: text/xml"},
                                      .answer_max = ANSWER_MAX};
    int rc = amy__buf_append_text(&upload->list, "</CompleteMultipartUpload>");

    rc = rc < 0 ? amy__err(err, rc, "noting a part")
                : write_query(upload->id, 0, query, err);
    request.body = amy__buf_span(&upload->list);
    rc = rc < 0 ? rc : ask(upload, &request, err);
    return rc == AMY_ENOTFOUND ? 0 : rc;
}

int
amy__s3_abort(struct amy__s3 *s3, const char *key, const char *upload,
              struct amy_error *err)
{
    AMY_CLEANUP(amy__fetch_got_clear_p)
    struct amy__fetch_got got = {.status = 0};
    char query[QUERY_SIZE];
    const struct amy__s3_request request = {.method = "DELETE",
                                            .key = key,
                                            .query = query,
                                            .answer_max = ANSWER_MAX};
    int rc = write_query(upload, 0, query, err);

    return rc < 0 ? rc : amy__s3_ask(s3, &request, &got, err);
}

static int
put_in_parts(struct upload *upload, struct amy_error *err)
{
    uint64_t part_bytes = amy__s3_part_bytes(upload->file->bytes);
    int rc = begin(upload, err);

    if (rc < 0) {
        return rc;
    }
    rc = amy__buf_append_text(&upload->list, "<CompleteMultipartUpload>");
    for (unsigned i = 1; rc == 0 && upload->hashed < upload->file->bytes; i++) {
        rc = send_part(upload, i, part_bytes, err);
        amy__job_progress(upload->job, "copy", upload->hashed,
                          upload->file->bytes);
    }
    rc = rc < 0 ? rc : check_whole(upload, err);
    rc = rc < 0 ? rc : complete(upload, err);
    if (rc < 0 && amy__s3_answers(rc)) { /* else whoever comes next does it */
        (void)amy__s3_abort(upload->s3, upload->key, upload->id, NULL);
    }
    return rc;
}

/* Not what it holds, that is read back: only whether it is ours, and whole. */
static int
check_object(struct upload *upload, struct amy_error *err)
{
    AMY_CLEANUP(amy__fetch_got_clear_p)
    struct amy__fetch_got got = {.status = 0};
    const struct amy__s3_request request = {
        .method = "HEAD", .key = upload->key, .answer_max = ANSWER_MAX};
    struct amy__span head = {NULL, 0};
    uint64_t bytes = 0;
    int rc = amy__s3_ask(upload->s3, &request, &got, err);

    head = amy__buf_span(&got.head);
    if (rc == 0 && (!amy__parse_u64(amy__fetch_field(head, "content-length"),
                                    UINT64_MAX, &bytes) ||
                    bytes != upload->file->bytes ||
                    !amy__span_eq(amy__fetch_field(head, "x-amz-meta-sha256"),
                                  amy__span_of(upload->file->sha256)))) {
        return amy__err(err, AMY_EPARSE,
                        "%s is not there as it was sent: %" PRIu64
                        " bytes, or another's",
                        upload->file->name, bytes);
    }
    return rc;
}

int
amy__s3_upload(struct amy__s3 *s3, struct amy__job *job, const char *key,
               const struct amy__manifest_file *file, int fd,
               struct amy_error *err)
{
    AMY_CLEANUP(amy__sha256_free_p) struct amy__sha256 *whole = NULL;
    struct upload upload = {
        .s3 = s3, .job = job, .key = key, .file = file, .fd = fd};
    int rc = amy__sha256_create(&whole, err);

    upload.whole = whole;
    amy__buf_init(&upload.list, LIST_MAX);
    if (rc == 0) {
        rc = file->bytes <= amy__s3_part_bytes(0) ? put_at_once(&upload, err)
                                                  : put_in_parts(&upload, err);
    }
    amy__buf_clear(&upload.list);
    return rc < 0 ? rc : check_object(&upload, err);
}

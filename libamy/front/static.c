/* Static files of a site: GET and HEAD of what lies beneath a route's
 * directory. Not for opening them: filecache.c; nor for several ranges in one
 * answer: parts.c. */
#include "core/clock.h"
#include "core/files.h"
#include "front/accel.h"
#include "front/parts.h"
#include "front/state.h"
#include "http/condition.h"
#include "http/media.h"
#include "http/path.h"
#include "http/range.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define PATH_BYTES 2048U

/* Hidden files are nobody's business; .well-known is made to be seen
 * (RFC 8615). */
static bool
shows_hidden(const char *path)
{
    for (const char *at = path; at != NULL; at = strchr(at + 1, '/')) {
        if (at[1] == '.' && strncmp(at + 1, ".well-known/", 12) != 0) {
            return true;
        }
    }
    return false;
}

/* root + the file that the path names; false: it cannot name one. */
static bool
file_path(const char *root, struct amy__span path, bool decoded,
          char buf[PATH_BYTES], size_t *ret_root_n)
{
    char raw[PATH_BYTES];
    size_t root_n = strlen(root);
    size_t room = 0;
    int64_t n = 0;

    while (root_n > 1 && root[root_n - 1] == '/') {
        root_n--;
    }
    if (path.n + 2 > sizeof(raw) || root_n >= PATH_BYTES / 2) {
        return false;
    }
    room = PATH_BYTES - root_n - sizeof("index.html");
    *ret_root_n = root_n;
    raw[0] = '/';
    memcpy(raw + 1, path.p, path.n);
    memcpy(buf, root, root_n);
    path = (struct amy__span){raw, path.n + 1};
    n = decoded ? amy__path_resolve(path, buf + root_n, room)
                : amy__path_normalise(path, buf + root_n, room);
    if (n < 0 || shows_hidden(buf + root_n)) {
        return false;
    }
    if (buf[root_n + (size_t)n - 1] == '/') {
        memcpy(buf + root_n + n, "index.html", sizeof("index.html"));
    }
    return true;
}

/* What the head of an answer says about the file, and what it stands in. */
struct portrait {
    unsigned status;
    struct amy__span type;
    enum amy__coding coding;
    bool varies;                         /* by Accept-Encoding */
    const struct amy__range *range;      /* 206 with one part */
    const struct amy__answer_head *said; /* by the application; NULL: nothing */
    char cache[64];
    char range_text[AMY__RANGE_TEXT];
};

static struct amy__span
cache_control(const struct amy__visit *v, struct portrait *portrait)
{
    int n = 0;

    if (v->route == NULL) {
        return AMY_SPAN("no-cache");
    }
    if (v->route->immutable) {
        return AMY_SPAN("public, max-age=31536000, immutable");
    }
    if (v->route->max_age_s >= 0) {
        n = snprintf(portrait->cache, sizeof(portrait->cache),
                     "public, max-age=%lld", (long long)v->route->max_age_s);
    } else if (portrait->said != NULL &&
               !amy__answer_has(&v->front->answer, AMY_SPAN("Expires"))) {
        /* The application was asked who it is for: no cache in between may
         * answer for it. */
        return AMY_SPAN("private");
    }
    return (struct amy__span){portrait->cache, n > 0 ? (size_t)n : 0};
}

/* A field that the application's word goes before. */
static void
say(struct amy__visit *v, const struct portrait *portrait,
    struct amy__span name, struct amy__span value)
{
    struct amy__answer_head *head = &v->front->answer;

    if (value.n > 0 &&
        (portrait->said == NULL || !amy__answer_has(head, name))) {
        amy__answer_field(head, name, value);
    }
}

/* What is said of the bytes in the answer: not with 304. */
static void
describe_body(struct amy__visit *v, struct portrait *portrait)
{
    struct amy__answer_head *head = &v->front->answer;

    amy__answer_field(head, AMY_SPAN("Content-Type"), portrait->type);
    say(v, portrait, AMY_SPAN("Accept-Ranges"), AMY_SPAN("bytes"));
    if (portrait->coding != AMY__CODING_IDENTITY) {
        amy__answer_field(head, AMY_SPAN("Content-Encoding"),
                          amy__coding_name(portrait->coding));
    }
    if (portrait->range != NULL) {
        size_t n = amy__range_text(portrait->range, v->file->size,
                                   portrait->range_text);

        amy__answer_field(head, AMY_SPAN("Content-Range"),
                          (struct amy__span){portrait->range_text, n});
    }
}

static void
describe(struct amy__visit *v, struct portrait *portrait)
{
    struct amy__answer_head *head = &v->front->answer;

    amy__answer_start(head, portrait->status);
    if (portrait->said != NULL) {
        amy__accel_fields(head, portrait->said);
    }
    if (portrait->status != 304) {
        describe_body(v, portrait);
    }
    if (portrait->varies) {
        amy__answer_field(head, AMY_SPAN("Vary"), AMY_SPAN("Accept-Encoding"));
    }
    amy__answer_field(head, AMY_SPAN("ETag"),
                      (struct amy__span){v->file->etag, v->file->etag_n});
    amy__answer_field(head, AMY_SPAN("Last-Modified"),
                      amy__span_of(v->file->modified));
    say(v, portrait, AMY_SPAN("Cache-Control"), cache_control(v, portrait));
    say(v, portrait, AMY_SPAN("X-Content-Type-Options"), AMY_SPAN("nosniff"));
}

static void
send_large(struct amy__visit *v, const struct amy__range *range)
{
    struct amy__answer_head *head = &v->front->answer;
    bool whole = amy__exchange_head(v->x)->method != AMY__METHOD_HEAD;
    int fd = whole ? fcntl(v->file->fd, F_DUPFD_CLOEXEC, 0) : -1;

    if (whole && fd < 0) {
        amy__visit_refuse(v, 503, NULL);
        return;
    }
    head->body = AMY__BODY_LENGTH;
    head->content_length = range->n;
    v->closed = true;
    if (amy__exchange_begin(v->x, head) < 0) {
        amy__close(&fd);
        amy__exchange_abort(v->x);
        return;
    }
    if (whole) {
        amy__exchange_send_file(v->x, fd, range->first, range->n);
    } else {
        amy__exchange_end(v->x);
    }
}

/* These bytes of it, which may be all. */
static void
send_range(struct amy__visit *v, struct portrait *portrait,
           const struct amy__range *range)
{
    describe(v, portrait);
    if (v->file->fd >= 0) {
        send_large(v, range);
        return;
    }
    v->closed = true;
    amy__exchange_reply(
        v->x, &v->front->answer,
        (struct amy__span){v->file->bytes + range->first, (size_t)range->n},
        true);
}

static void
send_parts(struct amy__visit *v, struct portrait *portrait,
           const struct amy__ranges *ranges)
{
    v->parts = amy__parts_create(ranges, portrait->type);
    if (v->parts == NULL) {
        amy__visit_refuse(v, 503, NULL);
        return;
    }
    portrait->type = amy__parts_type(v->parts);
    describe(v, portrait);
    amy__parts_start(v);
}

static void
refuse_range(struct amy__visit *v)
{
    char text[AMY__RANGE_TEXT];
    size_t n = amy__range_text(NULL, v->file->size, text);

    amy__visit_refuse_with(v, 416, AMY_SPAN("Content-Range"),
                           (struct amy__span){text, n});
}

/* The application may say "none". */
static bool
takes_ranges(const struct portrait *portrait)
{
    const struct amy__field *said =
        portrait->said == NULL
            ? NULL
            : amy__answer_find(portrait->said, AMY_SPAN("Accept-Ranges"));

    return said == NULL || amy__span_eq_nocase(said->value, AMY_SPAN("bytes"));
}

static void
send_file(struct amy__visit *v, struct portrait *portrait,
          const struct amy__validators *validators)
{
    const struct amy__request_head *head = amy__exchange_head(v->x);
    struct amy__range whole = {0, v->file->size};
    enum amy__range_wish wish = AMY__RANGE_WHOLE;
    struct amy__ranges ranges;

    ranges.count = 0;
    if (takes_ranges(portrait) &&
        amy__condition_range(head, validators, amy__wall_ms(v->front->clock))) {
        wish = amy__range_read(head, v->file->size, &ranges);
    }
    if (wish == AMY__RANGE_NONE) {
        refuse_range(v);
        return;
    }
    if (wish == AMY__RANGE_WHOLE) {
        portrait->status = 200;
        send_range(v, portrait, &whole);
        return;
    }
    portrait->status = 206;
    if (ranges.count > 1) {
        send_parts(v, portrait, &ranges);
    } else {
        portrait->range = &ranges.at[0];
        send_range(v, portrait, &ranges.at[0]);
    }
}

static void
send_not_modified(struct amy__visit *v, struct portrait *portrait)
{
    portrait->status = 304;
    describe(v, portrait);
    v->closed = true;
    if (amy__exchange_begin(v->x, &v->front->answer) < 0) {
        amy__exchange_abort(v->x);
        return;
    }
    amy__exchange_end(v->x);
}

/* Conditions in the order of RFC 9110 13.2.2; If-Range comes last, with the
 * range that it is about. What is done by other methods was done by the
 * application: their conditions were its own. */
static enum amy__condition
evaluate(const struct amy__visit *v, const struct amy__validators *validators)
{
    const struct amy__request_head *head = amy__exchange_head(v->x);

    if (head->method != AMY__METHOD_GET && head->method != AMY__METHOD_HEAD) {
        return AMY__CONDITION_PROCEED;
    }
    return amy__condition_evaluate(head, validators,
                                   amy__wall_ms(v->front->clock));
}

static void
answer(struct amy__visit *v, struct portrait *portrait)
{
    struct amy__validators validators = {
        .etag = {v->file->etag, v->file->etag_n},
        .modified_wall_ms = v->file->modified_ms,
    };

    switch (evaluate(v, &validators)) {
    case AMY__CONDITION_NOT_MODIFIED:
        send_not_modified(v, portrait);
        break;
    case AMY__CONDITION_FAILED:
        amy__visit_refuse(v, 412, NULL);
        break;
    case AMY__CONDITION_PROCEED:
    default:
        send_file(v, portrait, &validators);
        break;
    }
}

/* What lies compressed beside the file takes its place, with an ETag of its
 * own. All of them say that they vary, or a cache would give one of them to
 * everybody (12.5.5). */
static void
choose_variant(struct amy__visit *v, struct portrait *portrait)
{
    const struct amy__request_head *head = amy__exchange_head(v->x);
    struct amy__file *plain = v->file;
    unsigned available = 0;

    for (unsigned i = 0; i < AMY__CODINGS; i++) {
        available |= plain->packed[i] == NULL ? 0 : 1U << i;
    }
    portrait->coding = AMY__CODING_IDENTITY;
    portrait->varies = available != 0;
    if (available == 0) {
        return;
    }
    portrait->coding =
        amy__accept_coding(head->fields, head->field_count, available);
    if (portrait->coding != AMY__CODING_IDENTITY) {
        v->file = amy__file_ref(plain->packed[portrait->coding]);
        amy__file_unref(plain);
    }
}

static int
serve(struct amy__visit *v, struct amy__file_name *name,
      const struct amy__answer_head *said)
{
    const struct amy__field *type =
        said == NULL ? NULL : amy__answer_find(said, AMY_SPAN("Content-Type"));
    struct portrait portrait = {.said = said};
    int rc = 0;

    portrait.type = amy__media_type(amy__span_of(name->path));
    name->alone = amy__media_is_packed(portrait.type);
    rc = amy__file_cache_get(v->vhost->files, name,
                             amy__mono_ms(v->front->clock), &v->file, NULL);
    if (rc < 0) {
        return rc;
    }
    v->way = AMY__WAY_FILE;
    if (type != NULL && type->value.n > 0) {
        portrait.type = type->value;
    }
    choose_variant(v, &portrait);
    answer(v, &portrait);
    return 0;
}

/* What an internal route holds is shown by no other one: routes are chosen by
 * the path as it was sent, so that "/media//private/x" would come here by a
 * route to media. Names are compared: links that the site made are followed. */
static bool
is_kept_inside(const struct amy__site *site, const char *file)
{
    for (size_t i = 0; i < site->route_count; i++) {
        const struct amy__route *route = &site->routes[i];

        if (route->internal && amy__path_is_within(file, route->files)) {
            return true;
        }
    }
    return false;
}

void
amy__static_serve(struct amy__visit *v, int dir_fd, const char *root,
                  struct amy__span path)
{
    const struct amy__request_head *head = amy__exchange_head(v->x);
    char file[PATH_BYTES];
    struct amy__file_name name = {dir_fd, file, 0, false};
    int rc = AMY_ENOTFOUND;

    if (head->method != AMY__METHOD_GET && head->method != AMY__METHOD_HEAD) {
        amy__visit_refuse(v, 405, "GET, HEAD");
        return;
    }
    if (file_path(root, path, false, file, &name.root_n) &&
        !is_kept_inside(v->vhost->site, file)) {
        rc = serve(v, &name, NULL);
    }
    if (rc < 0) {
        amy__visit_refuse(v, rc == AMY_EDENIED ? 403 : 404, NULL);
    }
}

int
amy__static_stand_in(struct amy__visit *v, struct amy__span path,
                     const struct amy__answer_head *said)
{
    char file[PATH_BYTES];
    struct amy__file_name name = {v->vhost->dir_fd, file, 0, false};

    return file_path(v->route->files, path, true, file, &name.root_n)
               ? serve(v, &name, said)
               : AMY_ENOTFOUND;
}

/* From X-Accel-Redirect to a file. Not for sending it: static.c. */
#include "front/accel.h"

#include <amy/error.h>

#include "front/state.h"
#include "http/path.h"

#include <stdio.h>
#include <string.h>

#define PATH_BYTES 2048U

bool
amy__accel_asks(const struct amy__answer_head *said)
{
    return said->status / 100 == 2 &&
           amy__field_find(said->fields, said->field_count,
                           AMY__FIELD_X_ACCEL_REDIRECT) != NULL;
}

/* The path that the value names, decoded and without its query, as nginx reads
 * it; 0: none. */
static size_t
read_path(struct amy__span value, char path[PATH_BYTES])
{
    const char *query = memchr(value.p, '?', value.n);
    char decoded[PATH_BYTES];
    int64_t n = 0;

    if (query != NULL) {
        value.n = (size_t)(query - value.p);
    }
    n = amy__percent_decode(value, decoded, sizeof(decoded));
    if (n > 0) {
        n = amy__path_resolve((struct amy__span){decoded, (size_t)n}, path,
                              PATH_BYTES);
    }
    return n > 0 ? (size_t)n : 0;
}

static void
refuse(struct amy__visit *v, struct amy__span value, int rc)
{
    const char *what = rc == AMY_EDENIED  ? "may not be read"
                       : rc == AMY_EINVAL ? "is on no route to files"
                       : rc == AMY_EPARSE ? "is no path"
                                          : "does not exist";
    unsigned status = rc == AMY_EDENIED ? 403 : 404;
    char escaped[256];
    char line[320];

    (void)amy__escape(value, escaped, sizeof(escaped));
    (void)snprintf(line, sizeof(line), "X-Accel-Redirect: %s %s", escaped,
                   what);
    amy__visit_blame(v, status, line);
    amy__visit_refuse(v, status, NULL);
}

void
amy__accel_serve(struct amy__visit *v, const struct amy__answer_head *said)
{
    const struct amy__field *field = amy__field_find(
        said->fields, said->field_count, AMY__FIELD_X_ACCEL_REDIRECT);
    const struct amy__route *route = NULL;
    char path[PATH_BYTES];
    struct amy__span name = {path, read_path(field->value, path)};
    int rc = AMY_EPARSE;

    /* What goes on is a file's, whatever becomes of it. */
    v->way = AMY__WAY_FILE;
    if (name.n > 0) {
        route = amy__route_find(v->vhost->site, name);
        rc = AMY_EINVAL;
    }
    if (route != NULL && route->kind == AMY__ROUTE_FILES) {
        v->route = route;
        rc = amy__static_stand_in(v, amy__route_rest(route, name), said);
    }
    if (rc < 0) {
        refuse(v, field->value, rc);
    }
}

/* Of the body that is dropped, or of this answer's way; fields that the parser
 * knows are known by their id. */
static bool
is_of_the_body(const struct amy__field *field)
{
    static const struct amy__span names[] = {
        {"Content-Encoding", 16},
        {"Content-Language", 16},
        {"Content-Range", 13},
        {"Content-MD5", 11},
        {"Content-Digest", 14},
        {"Repr-Digest", 11},
        {"Digest", 6},
        {"ETag", 4},
        {"Last-Modified", 13},
    };

    if (field->id == AMY__FIELD_CONTENT_TYPE || field->id == AMY__FIELD_DATE ||
        field->id == AMY__FIELD_LOCATION) {
        return true;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (amy__span_eq_nocase(field->name, names[i])) {
            return true;
        }
    }
    return false;
}

void
amy__accel_fields(struct amy__answer_head *head,
                  const struct amy__answer_head *said)
{
    for (size_t i = 0; i < said->field_count; i++) {
        const struct amy__field *field = &said->fields[i];

        if (amy__field_goes_back(field) && !is_of_the_body(field)) {
            amy__answer_field(head, field->name, field->value);
        }
    }
}

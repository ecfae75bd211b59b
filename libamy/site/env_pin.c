/* A generation keeps the release it began with: in the lists of directories
 * that its environment holds, links that a later release will move are replaced
 * by what they lead to now. Not for other variables: what a path in them means
 * only their reader knows. */
#include "core/alloc.h"
#include "core/error.h"
#include "site/env.h"

#include <string.h>

#define LIST_MAX ((size_t)128 * 1024)

static const char *const lists[] = {"VIRTUAL_ENV", "PATH", "PYTHONPATH"};

/* Is it that directory, or beneath it? */
static bool
is_within(struct amy__span path, struct amy__span directory)
{
    return amy__span_starts(path, directory) &&
           (path.n == directory.n || path.p[directory.n] == '/');
}

static int
replace_in(struct amy__span list, struct amy__span from, struct amy__span to,
           struct amy__buf *out)
{
    struct amy__span piece = {NULL, 0};
    const char *separator = "";
    int rc = 0;

    while (rc == 0 && amy__span_split(&list, ':', &piece)) {
        rc = amy__buf_append_text(out, separator);
        if (rc == 0 && is_within(piece, from)) {
            rc = amy__buf_append_span(out, to);
            piece.p += from.n;
            piece.n -= from.n;
        }
        if (rc == 0) {
            rc = amy__buf_append_span(out, piece);
        }
        separator = ":";
    }
    return rc;
}

static int
pin_var(char **var, size_t name_n, struct amy__span from, struct amy__span to)
{
    struct amy__span value = amy__span_of(*var + name_n + 1);
    struct amy__buf text;
    char *pinned = NULL;
    int rc = 0;

    amy__buf_init(&text, LIST_MAX);
    rc = amy__buf_append(&text, *var, name_n + 1);
    if (rc == 0) {
        rc = replace_in(value, from, to, &text);
    }
    if (rc == 0) {
        pinned = amy__strndup(text.data, text.len);
        rc = pinned == NULL ? AMY_ENOMEM : 0;
    }
    amy__buf_clear(&text);
    if (rc == 0) {
        amy__free(*var);
        *var = pinned;
    }
    return rc;
}

int
amy__env_pin(struct amy__env *env, const char *from, const char *to,
             struct amy_error *err)
{
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        size_t n = strlen(lists[i]);

        for (size_t j = 0; env->vars[j] != NULL; j++) {
            int rc = 0;

            if (strncmp(env->vars[j], lists[i], n) != 0 ||
                env->vars[j][n] != '=') {
                continue;
            }
            rc =
                pin_var(&env->vars[j], n, amy__span_of(from), amy__span_of(to));
            if (rc < 0) {
                return amy__err(err, rc, "keeping %s", lists[i]);
            }
        }
    }
    return 0;
}

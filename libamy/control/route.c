/* Matching the paths of control methods. */
/* Not for sites' routes: those are prefixes, and the front's. */
#include "control/route.h"

#include "core/error.h"

static bool
is_param(struct amy__span part)
{
    return part.n > 2 && part.p[0] == '{' && part.p[part.n - 1] == '}';
}

static bool
has(struct amy__span part, char c)
{
    for (size_t i = 0; i < part.n; i++) {
        if (part.p[i] == c) {
            return true;
        }
    }
    return false;
}

int
amy__route_check(const char *pattern, struct amy_error *err)
{
    struct amy__span rest = amy__span_of(pattern);
    struct amy__span part = {0};
    size_t params = 0;

    if (rest.n == 0 || rest.p[0] != '/') {
        return amy__err(err, AMY_EINVAL, "pattern '%s' lacks its slash",
                        pattern);
    }
    while (amy__span_split(&rest, '/', &part)) {
        if (is_param(part)) {
            params++;
        } else if (has(part, '{') || has(part, '}')) {
            return amy__err(err, AMY_EINVAL,
                            "pattern '%s': {name} is a whole segment", pattern);
        }
    }
    if (params > AMY__ROUTE_PARAMS) {
        return amy__err(err, AMY_EINVAL, "pattern '%s' has more than %d names",
                        pattern, AMY__ROUTE_PARAMS);
    }
    return 0;
}

bool
amy__route_matches(const char *pattern, struct amy__span path,
                   struct amy__route_match *ret_match)
{
    struct amy__span want = amy__span_of(pattern);
    struct amy__span want_part = {0};
    struct amy__span part = {0};
    struct amy__route_match match = {0};

    while (amy__span_split(&want, '/', &want_part)) {
        if (!amy__span_split(&path, '/', &part)) {
            return false;
        }
        if (!is_param(want_part)) {
            if (!amy__span_eq(want_part, part)) {
                return false;
            }
            continue;
        }
        if (part.n == 0 || part.n > AMY__ROUTE_PARAM_MAX || has(part, '%')) {
            return false;
        }
        match.params[match.count++] = (struct amy__route_param){
            .name = {want_part.p + 1, want_part.n - 2}, .value = part};
    }
    if (path.p != NULL) {
        return false; /* segments are left */
    }
    *ret_match = match;
    return true;
}

/* Path patterns of control methods: "/v1/sites/{site}/gate". Pure. */
#ifndef AMY_CONTROL_ROUTE_H
#define AMY_CONTROL_ROUTE_H

#include <amy/error.h>

#include "core/str.h"

#include <stdbool.h>

#define AMY__ROUTE_PARAMS 4
#define AMY__ROUTE_PARAM_MAX 255 /* bytes; a domain has 253 at most */

struct amy__route_param {
    struct amy__span name;  /* into the pattern */
    struct amy__span value; /* into the path; never empty, no '/' and no '%' */
};

struct amy__route_match {
    size_t count;
    struct amy__route_param params[AMY__ROUTE_PARAMS];
};

/* Is it a pattern: begins with '/', at most AMY__ROUTE_PARAMS of "{name}", each
 * a whole segment? AMY_EINVAL says what is wrong. */
int amy__route_check(const char *pattern, struct amy_error *err);
/* Compare segment by segment. Percent-encoding is not decoded: nothing that a
 * control path names needs it, and so there is one spelling of each. */
bool amy__route_matches(const char *pattern, struct amy__span path,
                        struct amy__route_match *ret_match);

#endif

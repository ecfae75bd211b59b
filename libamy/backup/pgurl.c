/* Another database in the place of the one that a URL names. */
/* Not for connecting: pg.c. */
#include "backup/pgurl.h"

#include "core/error.h"
#include "core/str.h"

#include <string.h>

/* Who names the database among the parameters means that one. */
static bool
names_elsewhere(const char *query)
{
    static const char key[] = "dbname=";

    for (const char *at = query; at != NULL; at = strchr(at + 1, '&')) {
        if (strncmp(at + 1, key, sizeof(key) - 1) == 0) {
            return true;
        }
    }
    return false;
}

static bool
is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

static int
put_encoded(const char *name, struct amy__buf *out)
{
    int rc = 0;

    for (; rc == 0 && *name != '\0'; name++) {
        rc = is_plain(*name)
                 ? amy__buf_append(out, name, 1)
                 : amy__buf_appendf(out, "%%%02X", (unsigned char)*name);
    }
    return rc;
}

int
amy__pgurl_replace(const char *url, const char *name, struct amy__buf *out,
                   struct amy_error *err)
{
    const char *authority = strstr(url, "://");
    const char *query = strchr(url, '?');
    size_t n = 0;
    int rc = 0;

    if (authority == NULL || (query != NULL && query < authority)) {
        return amy__err(err, AMY_EPARSE, "there is no URL");
    }
    if (names_elsewhere(query)) {
        return amy__err(err, AMY_EPARSE,
                        "the URL names its database by dbname=: write it "
                        "behind the host");
    }
    authority += 3;
    n = (size_t)(authority - url) + strcspn(authority, "/?");
    rc = amy__buf_append(out, url, n);
    rc = rc < 0 ? rc : amy__buf_append(out, "/", 1);
    rc = rc < 0 ? rc : put_encoded(name, out);
    if (rc == 0 && query != NULL) {
        rc = amy__buf_append_text(out, query);
    }
    return rc < 0 ? amy__err(err, rc, "making a URL") : 0;
}

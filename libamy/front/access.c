/* What a closed site lets through, and what a shared cache may keep of it. */
/* Not for passwords: checks.c, users.c. */
#include "front/access.h"

#include "front/pages.h"

#include <string.h>

/* ---- paths ---- */

/* Whoever serves it may read "%2e%2e/", "..;/", "//" or "\" as a way out. */
static bool
is_plain_rest(struct amy__span rest)
{
    bool begins = true;

    for (size_t i = 0; i < rest.n; i++) {
        char c = rest.p[i];

        if (c == '%' && i + 2 < rest.n) {
            char code[3] = {rest.p[i + 1], (char)(rest.p[i + 2] | 0x20), '\0'};

            if (strcmp(code, "2e") == 0 || strcmp(code, "2f") == 0 ||
                strcmp(code, "5c") == 0 || strcmp(code, "25") == 0) {
                return false;
            }
        }
        if (c == '\\' || (begins && (c == '.' || c == '/'))) {
            return false;
        }
        begins = c == '/';
    }
    return true;
}

bool
amy__access_excepts(const struct amy__site *site, enum amy__method method,
                    struct amy__span path)
{
    for (size_t i = 0; site->access_except[i] != NULL; i++) {
        struct amy__span listed = amy__span_of(site->access_except[i]);

        if (amy__span_eq(path, listed)) {
            return true;
        }
        if (listed.p[listed.n - 1] == '/' && amy__span_starts(path, listed) &&
            is_plain_rest(
                (struct amy__span){path.p + listed.n, path.n - listed.n})) {
            return true;
        }
    }
    /* A load balancer asks for it by address, and has no password. The home
     * page is no such path: it is health.path only where none is given. */
    return site->health_any_host &&
           (method == AMY__METHOD_GET || method == AMY__METHOD_HEAD) &&
           !amy__span_eq(path, AMY_SPAN("/")) &&
           amy__span_eq(path, amy__span_of(site->health_path));
}

bool
amy__access_allows(const struct amy__site *site,
                   const struct amy__address *client)
{
    for (size_t i = 0; i < site->access_allow_count; i++) {
        if (amy__cidr_contains(&site->access_allow[i], client)) {
            return true;
        }
    }
    return false;
}

/* ---- caches ---- */

static bool
names(struct amy__span directive, struct amy__span name)
{
    return directive.n >= name.n &&
           amy__span_eq_nocase((struct amy__span){directive.p, name.n}, name) &&
           (directive.n == name.n || directive.p[name.n] == '=');
}

/* Those that speak of shared caches (RFC 9111 5.2.2). "private" is said once,
 * and of all fields. */
static bool
is_of_shared(struct amy__span directive)
{
    return directive.n == 0 || names(directive, AMY_SPAN("public")) ||
           names(directive, AMY_SPAN("private")) ||
           names(directive, AMY_SPAN("s-maxage")) ||
           names(directive, AMY_SPAN("proxy-revalidate"));
}

struct cache_text {
    char *text;
    size_t n;
    bool full;
};

static void
put(struct cache_text *to, struct amy__span piece)
{
    if (to->n + piece.n + 2 > AMY__ACCESS_CACHE_TEXT) {
        to->full = true;
        return;
    }
    if (to->n > 0) {
        to->text[to->n++] = ',';
        to->text[to->n++] = ' ';
    }
    memcpy(to->text + to->n, piece.p, piece.n);
    to->n += piece.n;
}

/* Up to a comma that is not in a quoted string; what has half a string says
 * nothing that could be trusted. */
static bool
split_directive(struct cache_text *to, struct amy__span *value,
                struct amy__span *directive)
{
    bool quoted = false;
    size_t n = 0;

    while (n < value->n && (quoted || value->p[n] != ',')) {
        quoted = quoted != (value->p[n] == '"');
        n += quoted && value->p[n] == '\\' && n + 1 < value->n ? 2 : 1;
    }
    to->full = to->full || quoted;
    *directive = amy__span_trim((struct amy__span){value->p, n});
    if (n < value->n) {
        *value = (struct amy__span){value->p + n + 1, value->n - n - 1};
        return true;
    }
    *value = (struct amy__span){value->p + n, 0};
    return n > 0;
}

static void
put_directives(struct cache_text *to, struct amy__span value)
{
    struct amy__span directive = {0};

    while (split_directive(to, &value, &directive)) {
        if (!is_of_shared(directive)) {
            put(to, directive);
        }
    }
}

/* RFC 9213: "CDN-Cache-Control", and those with the name of one CDN before it;
 * they outweigh Cache-Control. */
static bool
is_for_a_cdn(const struct amy__field *field)
{
    const struct amy__span cdn = AMY_SPAN("CDN-Cache-Control");
    struct amy__span name = field->name;

    if (name.n > cdn.n) {
        name = (struct amy__span){name.p + name.n - cdn.n, cdn.n};
    }
    return amy__span_eq_nocase(name, cdn) ||
           amy__span_eq_nocase(field->name, AMY_SPAN("Surrogate-Control")) ||
           amy__span_eq_nocase(field->name, AMY_SPAN("Edge-Control"));
}

void
amy__access_make_private(struct amy__answer_head *head,
                         char text[AMY__ACCESS_CACHE_TEXT])
{
    struct cache_text to = {.text = text};
    size_t kept = 0;

    put(&to, AMY_SPAN("private"));
    for (size_t i = 0; i < head->field_count; i++) {
        const struct amy__field *field = &head->fields[i];

        if (amy__span_eq_nocase(field->name, AMY_SPAN("Cache-Control"))) {
            put_directives(&to, field->value);
        } else if (!is_for_a_cdn(field)) {
            head->fields[kept++] = *field;
        }
    }
    head->field_count = kept;
    amy__answer_field(head, AMY_SPAN("Cache-Control"),
                      to.full ? AMY_SPAN("no-store")
                              : (struct amy__span){text, to.n});
}

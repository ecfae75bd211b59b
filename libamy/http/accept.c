/* Reading Accept and Accept-Encoding. Negotiation in general is left out: two
 * kinds of page, and what lies beside a file, are all there is to choose from.
 */
#include "http/accept.h"

#include "http/chars.h"

#include <string.h>

#define WEIGHT_MAX 1000

/* "0", "0.5", "1.000": at most three digits. False: none of these. */
static bool
parse_weight(struct amy__span s, unsigned *ret)
{
    unsigned weight = 0;
    unsigned unit = WEIGHT_MAX;

    if (s.n == 0 || s.n > sizeof("1.000") - 1 || (s.n > 1 && s.p[1] != '.')) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (i == 1) {
            continue;
        }
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
        weight += (unsigned)(s.p[i] - '0') * unit;
        unit /= 10;
    }
    *ret = weight;
    return weight <= WEIGHT_MAX;
}

/* The first `sep` outside of quotes ends the piece. */
static bool
split_unquoted(struct amy__span *rest, char sep, struct amy__span *piece)
{
    bool quoted = false;
    size_t i = 0;

    if (rest->n == 0) {
        return false;
    }
    for (i = 0; i < rest->n && (quoted || rest->p[i] != sep); i++) {
        if (rest->p[i] == '"') {
            quoted = !quoted;
        } else if (quoted && rest->p[i] == '\\' && i + 1 < rest->n) {
            i++;
        }
    }
    *piece = amy__span_trim((struct amy__span){rest->p, i});
    i = i < rest->n ? i + 1 : i;
    *rest = (struct amy__span){rest->p + i, rest->n - i};
    return true;
}

/* How exactly a range fits the type; 0: not. A range with parameters other than
 * q asks for a variant, and none of ours has any. */
static unsigned
fit(struct amy__span range, struct amy__span type)
{
    const char *slash = memchr(type.p, '/', type.n);
    struct amy__span major = {type.p, (size_t)(slash - type.p) + 1};

    if (amy__span_eq_nocase(range, type)) {
        return 3;
    }
    if (range.n == major.n + 1 && range.p[range.n - 1] == '*' &&
        amy__span_eq_nocase((struct amy__span){range.p, major.n}, major)) {
        return 2;
    }
    return amy__span_eq(range, AMY_SPAN("*/*")) ? 1 : 0;
}

/* The weight among an element's parameters; false: malformed, which wishes
 * nothing. */
static bool
take_weight(struct amy__span parameters, unsigned *ret_weight)
{
    struct amy__span parameter = {NULL, 0};

    *ret_weight = WEIGHT_MAX;
    while (split_unquoted(&parameters, ';', &parameter)) {
        if (parameter.n >= 2 && (parameter.p[0] | 0x20) == 'q' &&
            parameter.p[1] == '=') {
            parameter.p += 2;
            parameter.n -= 2;
            if (!parse_weight(parameter, ret_weight)) {
                return false;
            }
        }
    }
    return true;
}

static void
weigh_range(struct amy__span element, struct amy__span type,
            struct amy__liking *best)
{
    struct amy__span range = {NULL, 0};
    unsigned weight = WEIGHT_MAX;
    unsigned specificity = 0;

    if (!split_unquoted(&element, ';', &range) ||
        !take_weight(element, &weight)) {
        return;
    }
    specificity = fit(range, type);
    if (specificity > best->specificity ||
        (specificity > 0 && specificity == best->specificity &&
         weight > best->weight)) {
        *best = (struct amy__liking){weight, specificity};
    }
}

struct amy__liking
amy__accept_liking(const struct amy__field *fields, size_t count,
                   struct amy__span type)
{
    struct amy__liking best = {0, 0};
    bool asked = false;

    for (size_t i = 0; i < count; i++) {
        struct amy__span rest = fields[i].value;
        struct amy__span element = {NULL, 0};

        if (fields[i].id != AMY__FIELD_ACCEPT) {
            continue;
        }
        asked = true;
        while (split_unquoted(&rest, ',', &element)) {
            weigh_range(element, type, &best);
        }
    }
    return asked ? best : (struct amy__liking){WEIGHT_MAX, 0};
}

static bool
likes_more(struct amy__liking a, struct amy__liking b)
{
    return a.weight > b.weight || (a.weight == b.weight && a.weight > 0 &&
                                   a.specificity > b.specificity);
}

bool
amy__accept_prefers_json(const struct amy__field *fields, size_t count)
{
    struct amy__liking html =
        amy__accept_liking(fields, count, AMY_SPAN("text/html"));
    struct amy__liking json =
        amy__accept_liking(fields, count, AMY_SPAN("application/json"));
    struct amy__liking problem =
        amy__accept_liking(fields, count, AMY_SPAN("application/problem+json"));

    return likes_more(json, html) || likes_more(problem, html);
}

/* ---- codings ---- */

struct amy__span
amy__coding_name(enum amy__coding coding)
{
    static const struct amy__span names[] = {
        [AMY__CODING_BR] = {"br", 2},
        [AMY__CODING_ZSTD] = {"zstd", 4},
        [AMY__CODING_GZIP] = {"gzip", 4},
        [AMY__CODING_IDENTITY] = {"identity", 8},
    };

    return names[coding];
}

/* Weights that were given; -1: none was. */
struct wishes {
    int of[AMY__CODINGS + 1];
    int any; /* "*": every one that is not named */
};

static void
wish(struct wishes *wishes, struct amy__span element)
{
    struct amy__span name = {NULL, 0};
    unsigned weight = 0;

    if (!split_unquoted(&element, ';', &name) ||
        !take_weight(element, &weight)) {
        return;
    }
    if (amy__span_eq(name, AMY_SPAN("*"))) {
        wishes->any = (int)weight;
    } else if (amy__span_eq_nocase(name, AMY_SPAN("x-gzip"))) {
        wishes->of[AMY__CODING_GZIP] = (int)weight; /* 8.4.1.3 */
    }
    for (size_t i = 0; i <= AMY__CODINGS; i++) {
        if (amy__span_eq_nocase(name, amy__coding_name((enum amy__coding)i))) {
            wishes->of[i] = (int)weight;
        }
    }
}

static int
weight_of(const struct wishes *wishes, size_t i)
{
    return wishes->of[i] >= 0 ? wishes->of[i] : wishes->any;
}

enum amy__coding
amy__accept_coding(const struct amy__field *fields, size_t count,
                   unsigned available)
{
    struct wishes wishes = {{-1, -1, -1, -1}, -1};
    size_t best = AMY__CODING_IDENTITY;

    for (size_t i = 0; i < count; i++) {
        struct amy__span rest = fields[i].value;
        struct amy__span element = {NULL, 0};

        while (fields[i].id == AMY__FIELD_ACCEPT_ENCODING &&
               split_unquoted(&rest, ',', &element)) {
            wish(&wishes, element);
        }
    }
    for (size_t i = AMY__CODINGS; i-- > 0;) {
        int weight = weight_of(&wishes, i);

        if ((available & (1U << i)) != 0 && weight > 0 &&
            weight >= weight_of(&wishes, best)) {
            best = i;
        }
    }
    return (enum amy__coding)best;
}

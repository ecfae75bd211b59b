/* Conditional requests. Not the answers to them, and not ranges themselves. */
#include "http/condition.h"

#include "http/date.h"

static bool
is_weak(struct amy__span tag)
{
    return amy__span_starts(tag, AMY_SPAN("W/"));
}

static struct amy__span
opaque_part(struct amy__span tag)
{
    return is_weak(tag) ? (struct amy__span){tag.p + 2, tag.n - 2} : tag;
}

bool
amy__etag_equal_strong(struct amy__span a, struct amy__span b)
{
    return a.n > 0 && !is_weak(a) && !is_weak(b) && amy__span_eq(a, b);
}

bool
amy__etag_equal_weak(struct amy__span a, struct amy__span b)
{
    return a.n > 0 && amy__span_eq(opaque_part(a), opaque_part(b));
}

/* Cut the next entity tag off a list; it may hold commas. False: no more, or
 * malformed from here on. */
static bool
take_tag(struct amy__span *rest, struct amy__span *ret_tag)
{
    size_t start = 0;
    size_t i = 0;

    while (start < rest->n && (rest->p[start] == ',' || rest->p[start] == ' ' ||
                               rest->p[start] == '\t')) {
        start++;
    }
    i = start;
    if (rest->n - i >= 2 && rest->p[i] == 'W' && rest->p[i + 1] == '/') {
        i += 2;
    }
    if (i == rest->n || rest->p[i] != '"') {
        return false;
    }
    for (i++; i < rest->n && rest->p[i] != '"'; i++) {
    }
    if (i == rest->n) {
        return false;
    }
    i++;
    *ret_tag = (struct amy__span){rest->p + start, i - start};
    *rest = (struct amy__span){rest->p + i, rest->n - i};
    return true;
}

/* Does any field of that id name the tag, or `*`? */
static bool
names_tag(const struct amy__request_head *head, enum amy__field_id id,
          struct amy__span tag, bool strong)
{
    for (size_t i = 0; i < head->field_count; i++) {
        struct amy__span rest = head->fields[i].value;
        struct amy__span one = {NULL, 0};

        if (head->fields[i].id != (uint16_t)id) {
            continue;
        }
        if (amy__span_eq(rest, AMY_SPAN("*"))) {
            return true;
        }
        while (take_tag(&rest, &one)) {
            if (strong ? amy__etag_equal_strong(one, tag)
                       : amy__etag_equal_weak(one, tag)) {
                return true;
            }
        }
    }
    return false;
}

/* The date in a field; false: no such field, or no date, which counts alike
 * (13.1.3, 13.1.4). */
static bool
date_in(const struct amy__request_head *head, enum amy__field_id id,
        int64_t wall_now_ms, int64_t *ret_ms)
{
    const struct amy__field *field =
        amy__field_find(head->fields, head->field_count, id);

    return field != NULL && amy__date_parse(field->value, wall_now_ms, ret_ms);
}

/* Fields know whole seconds. */
static int64_t
whole_seconds(int64_t ms)
{
    return ms - ms % 1000;
}

static bool
has(const struct amy__request_head *head, enum amy__field_id id)
{
    return amy__field_find(head->fields, head->field_count, id) != NULL;
}

enum amy__condition
amy__condition_evaluate(const struct amy__request_head *head,
                        const struct amy__validators *v, int64_t wall_now_ms)
{
    bool reads =
        head->method == AMY__METHOD_GET || head->method == AMY__METHOD_HEAD;
    bool dated = v->modified_wall_ms != 0;
    int64_t modified_ms = whole_seconds(v->modified_wall_ms);
    int64_t date_ms = 0;

    if (has(head, AMY__FIELD_IF_MATCH)) {
        if (!names_tag(head, AMY__FIELD_IF_MATCH, v->etag, true)) {
            return AMY__CONDITION_FAILED;
        }
    } else if (dated &&
               date_in(head, AMY__FIELD_IF_UNMODIFIED_SINCE, wall_now_ms,
                       &date_ms) &&
               modified_ms > date_ms) {
        return AMY__CONDITION_FAILED;
    }
    if (has(head, AMY__FIELD_IF_NONE_MATCH)) {
        if (!names_tag(head, AMY__FIELD_IF_NONE_MATCH, v->etag, false)) {
            return AMY__CONDITION_PROCEED;
        }
        return reads ? AMY__CONDITION_NOT_MODIFIED : AMY__CONDITION_FAILED;
    }
    if (reads && dated &&
        date_in(head, AMY__FIELD_IF_MODIFIED_SINCE, wall_now_ms, &date_ms) &&
        modified_ms <= date_ms) {
        return AMY__CONDITION_NOT_MODIFIED;
    }
    return AMY__CONDITION_PROCEED;
}

bool
amy__condition_range(const struct amy__request_head *head,
                     const struct amy__validators *v, int64_t wall_now_ms)
{
    const struct amy__field *field =
        amy__field_find(head->fields, head->field_count, AMY__FIELD_IF_RANGE);
    struct amy__span rest = {NULL, 0};
    struct amy__span tag = {NULL, 0};
    int64_t date_ms = 0;

    if (field == NULL) {
        return true;
    }
    rest = field->value;
    if (take_tag(&rest, &tag)) {
        return rest.n == 0 && amy__etag_equal_strong(tag, v->etag);
    }
    /* A date says the same only when it is exactly ours, and old enough that
     * the file cannot have changed again within its second (8.8.2.2). */
    return v->modified_wall_ms != 0 &&
           amy__date_parse(field->value, wall_now_ms, &date_ms) &&
           whole_seconds(v->modified_wall_ms) == date_ms &&
           wall_now_ms - date_ms >= 60000;
}

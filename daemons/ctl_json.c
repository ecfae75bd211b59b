/* Reads members of an answer. */
/* Not for asking: that is ctl_ask.c. */
#include "ctl_json.h"

const char *
text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text == NULL ? "" : text;
}

int64_t
int_at(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

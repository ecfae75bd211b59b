/* What holds between the keys of `backup.copies`. */
#include "site/rules.h"

#include <string.h>

static bool
is_same(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static void
check_twice(const struct amy__rules *rules, size_t index,
            const struct amy__place *place)
{
    const struct amy__site_copy *copies = rules->site->copies;

    for (size_t i = 0; i < index; i++) {
        if (is_same(copies[i].name, copies[index].name)) {
            amy__report_error(rules->report, place, "'%s' is given twice",
                              copies[i].name);
        }
        if (is_same(copies[i].directory, copies[index].directory) ||
            (is_same(copies[i].s3, copies[index].s3) &&
             (copies[i].endpoint == copies[index].endpoint ||
              is_same(copies[i].endpoint, copies[index].endpoint)))) {
            amy__report_error(rules->report, place,
                              "is the place of another copy, too");
        }
    }
}

/* One of a directory and a bucket, and what belongs to that. */
static void
check_place(const struct amy__rules *rules, const char *key,
            const struct amy__node *node)
{
    static const char *const of_s3[] = {"region",      "endpoint", "style",
                                        "credentials", "profile",  "ca_file",
                                        NULL};
    bool in_directory = amy__node_get(node, "directory") != NULL;
    bool in_s3 = amy__node_get(node, "s3") != NULL;
    struct amy__place place = amy__rules_place(node, NULL, key);

    place.allowed = "one of directory and s3";
    if (!in_directory && !in_s3) {
        amy__report_error(rules->report, &place, "does not say where it goes");
    }
    if (in_directory && in_s3) {
        amy__report_error(rules->report, &place, "has both directory and s3");
    }
    place.allowed = NULL;
    for (size_t i = 0; in_directory && !in_s3 && of_s3[i] != NULL; i++) {
        if (amy__node_get(node, of_s3[i]) != NULL) {
            amy__report_error(rules->report, &place,
                              "'%s' goes not with directory", of_s3[i]);
        }
    }
}

static void
check_copy(const struct amy__rules *rules, size_t index,
           const struct amy__node *node)
{
    char key[AMY__RULES_KEY_SIZE];
    struct amy__place place = amy__rules_place(
        node, NULL, amy__rules_key(key, "backup.copies", index, NULL));

    check_place(rules, place.key, node);
    check_twice(rules, index, &place);
}

void
amy__rules_refresh_copy(const struct amy__rules *rules,
                        const struct amy__node *refresh)
{
    const struct amy__node *copy = amy__node_get(refresh, "copy");

    if (copy != NULL && copy->kind == AMY__NODE_MAP) {
        check_place(rules, "refresh.copy", copy);
    }
}

void
amy__rules_copies(const struct amy__rules *rules,
                  const struct amy__node *backup)
{
    const struct amy__node *list = amy__node_get(backup, "copies");
    const struct amy__node *node = list == NULL ? NULL : list->first;

    for (size_t i = 0; i < rules->site->copy_count && node != NULL;
         i++, node = node->next) {
        if (node->kind == AMY__NODE_MAP) {
            check_copy(rules, i, node);
        }
    }
}

/* What holds between the keys of `logs.files`: logs of other programs. */
#include "site/rules.h"

#include <string.h>

static void
check_log_file(const struct amy__rules *rules, size_t index,
               const struct amy__node *node)
{
    const struct amy__site_log_file *files = rules->site->log_files;
    char key[AMY__RULES_KEY_SIZE];
    struct amy__place place = amy__rules_place(
        node, NULL, amy__rules_key(key, "logs.files", index, NULL));

    if ((files[index].signal != 0) != (files[index].pid_file != NULL)) {
        amy__report_error(rules->report, &place,
                          "needs both signal and pid_file, or neither");
    }
    if (files[index].command != NULL && files[index].signal != 0) {
        amy__report_error(rules->report, &place, "has both signal and command");
    }
    if (files[index].command != NULL &&
        strchr(files[index].command[0], '/') == NULL) {
        place = amy__rules_place(
            node, "command",
            amy__rules_key(key, "logs.files", index, "command"));
        place.allowed = "a path such as /usr/local/bin/reopen";
        amy__report_error(rules->report, &place, "'%.64s' is no path",
                          files[index].command[0]);
    }
    for (size_t i = 0; files[index].path != NULL && i < index; i++) {
        if (files[i].path != NULL &&
            strcmp(files[i].path, files[index].path) == 0) {
            amy__report_error(rules->report, &place, "'%.110s' is given twice",
                              files[i].path);
            return;
        }
    }
}

void
amy__rules_log_files(const struct amy__rules *rules,
                     const struct amy__node *root)
{
    const struct amy__node *logs = amy__node_get(root, "logs");
    const struct amy__node *list = logs == NULL || logs->kind != AMY__NODE_MAP
                                       ? NULL
                                       : amy__node_get(logs, "files");
    const struct amy__node *node = list == NULL ? NULL : list->first;

    for (size_t i = 0; i < rules->site->log_file_count && node != NULL;
         i++, node = node->next) {
        if (node->kind == AMY__NODE_MAP) {
            check_log_file(rules, i, node);
        }
    }
}

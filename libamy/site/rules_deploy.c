/* What holds between the keys of `deploy`. */
#include "site/rules.h"

#include <string.h>

/* Those that a step names to have what we do by that name. */
static const char *const own_steps[] = {"environment", "collectstatic",
                                        "migrate"};

static bool
is_own_step(const char *name)
{
    for (size_t i = 0; i < sizeof(own_steps) / sizeof(own_steps[0]); i++) {
        if (name != NULL && strcmp(name, own_steps[i]) == 0) {
            return true;
        }
    }
    return false;
}

struct list {
    const char *name;
    const struct amy__deploy_command *commands;
    size_t count;
    bool steps;
};

static void
check_command(const struct amy__rules *rules, const struct list *list,
              size_t index, const struct amy__node *node)
{
    const struct amy__deploy_command *command = &list->commands[index];
    char key[AMY__RULES_KEY_SIZE];
    struct amy__place place = amy__rules_place(
        node, NULL, amy__rules_key(key, list->name, index, NULL));

    if (command->run == NULL && amy__node_get(node, "run") == NULL &&
        !(list->steps && is_own_step(command->name))) {
        place.allowed = list->steps ? "run, or the name environment, "
                                      "collectstatic or migrate"
                                    : "run: [PROGRAM, ARGUMENT, ...]";
        amy__report_error(rules->report, &place, "has nothing to run");
    }
    if (command->run != NULL && strchr(command->run[0], '=') != NULL) {
        amy__report_error(rules->report, &place, "'%.64s' is no program",
                          command->run[0]);
    }
    if (list->steps && command->name == NULL &&
        amy__node_get(node, "name") == NULL) {
        amy__report_error(rules->report, &place, "a step needs a name");
    }
    for (size_t i = 0; command->name != NULL && i < index; i++) {
        if (list->commands[i].name != NULL &&
            strcmp(list->commands[i].name, command->name) == 0) {
            amy__report_error(rules->report, &place, "'%.40s' is given twice",
                              command->name);
            return;
        }
    }
}

void
amy__rules_deploy(const struct amy__rules *rules, const struct amy__node *root)
{
    const struct amy__site_deploy *deploy = &rules->site->deploy;
    const struct amy__node *map = amy__node_get(root, "deploy");
    const struct list lists[] = {
        {"deploy.steps", deploy->steps, deploy->step_count, true},
        {"deploy.before", deploy->before, deploy->before_count, false},
        {"deploy.after", deploy->after, deploy->after_count, false},
    };

    if (deploy->rq_suspend && rules->site->redis_from == NULL) {
        struct amy__place place = amy__rules_place(map, "rq", "deploy.rq");

        place.allowed = "redis: {from: VARIABLE} beside it";
        amy__report_error(rules->report, &place,
                          "nothing says where the queues are");
    }
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        const struct amy__node *all =
            map == NULL ? NULL : amy__node_get(map, lists[i].name + 7);
        const struct amy__node *node = all == NULL ? NULL : all->first;

        for (size_t j = 0; j < lists[i].count && node != NULL;
             j++, node = node->next) {
            if (node->kind == AMY__NODE_MAP) {
                check_command(rules, &lists[i], j, node);
            }
        }
    }
}

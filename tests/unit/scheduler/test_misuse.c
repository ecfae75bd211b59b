/* A scheduler in the hands of somebody who did not read its page. */
/* Not for what it does with sites: the other tests of this room. */
#include <amy/scheduler.h>

#include "whole.h"

static void
fill(void *opts, const struct root *root)
{
    *(struct amy_scheduler_options *)opts = (struct amy_scheduler_options){
        .struct_size = sizeof(struct amy_scheduler_options),
        .base = root->base,
        .config = root->config,
        .webapps = root->webapps,
        .run = root->run,
        .state = root->state,
        .borrow_clock = (const struct amy_clock *)(const void *)root,
    };
}

static void
unset_base(void *opts)
{
    ((struct amy_scheduler_options *)opts)->base = NULL;
}

static int
create(const void *opts, void **ret, struct amy_error *err)
{
    struct amy_scheduler *made = NULL;
    int rc = amy_scheduler_create(opts, &made, err);

    *ret = made;
    return rc;
}

static int
check(const void *opts, struct amy_error *err)
{
    return amy_scheduler_check(opts, NULL, NULL, err);
}

static int
start(void *it, struct amy_error *err)
{
    return amy_scheduler_start(it, err);
}

static int
reload(void *it, struct amy_error *err)
{
    return amy_scheduler_reload(it, err);
}

static void
on_stopped(struct amy_scheduler *scheduler, void *user)
{
    (void)scheduler;
    (void)user;
    whole_stopped();
}

static int
stop(void *it, struct amy_error *err)
{
    return amy_scheduler_stop(it, on_stopped, NULL, err);
}

static void
free_it(void *it)
{
    amy_scheduler_free(it);
}

int
main(void)
{
    static const struct whole scheduler = {
        .daemon = "backup",
        .size = sizeof(struct amy_scheduler_options),
        .older = offsetof(struct amy_scheduler_options, borrow_clock),
        .fill = fill,
        .unset_base = unset_base,
        .create = create,
        .check = check,
        .start = start,
        .reload = reload,
        .stop = stop,
        .free = free_it,
    };

    return whole_run(&scheduler);
}

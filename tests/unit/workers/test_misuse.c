/* A supervisor in the hands of somebody who did not read its page. */
/* Not for what it does with sites: the other tests of this room. */
#include <amy/workers.h>

#include "whole.h"

static void
fill(void *opts, const struct root *root)
{
    *(struct amy_workers_options *)opts = (struct amy_workers_options){
        .struct_size = sizeof(struct amy_workers_options),
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
    ((struct amy_workers_options *)opts)->base = NULL;
}

static int
create(const void *opts, void **ret, struct amy_error *err)
{
    struct amy_workers *made = NULL;
    int rc = amy_workers_create(opts, &made, err);

    *ret = made;
    return rc;
}

static int
check(const void *opts, struct amy_error *err)
{
    return amy_workers_check(opts, NULL, NULL, err);
}

static int
start(void *it, struct amy_error *err)
{
    return amy_workers_start(it, err);
}

static int
reload(void *it, struct amy_error *err)
{
    return amy_workers_reload(it, NULL, NULL, err);
}

static void
on_stopped(struct amy_workers *workers, void *user)
{
    (void)workers;
    (void)user;
    whole_stopped();
}

static int
stop(void *it, struct amy_error *err)
{
    return amy_workers_stop(it, 1, on_stopped, NULL, err);
}

static void
free_it(void *it)
{
    amy_workers_free(it);
}

int
main(void)
{
    static const struct whole workers = {
        .daemon = "workers",
        .size = sizeof(struct amy_workers_options),
        .older = offsetof(struct amy_workers_options, borrow_clock),
        .fill = fill,
        .unset_base = unset_base,
        .create = create,
        .check = check,
        .start = start,
        .reload = reload,
        .stop = stop,
        .free = free_it,
    };

    return whole_run(&workers);
}

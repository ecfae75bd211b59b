/* What prepare adds for one worker: descriptors and variables. */
/* Not for what all workers of a pool get: that is in its options. */
#include "core/alloc.h"
#include "core/buf.h"
#include "core/check.h"
#include "core/error.h"
#include "core/files.h"
#include "pool/internal.h"

#include <fcntl.h>
#include <string.h>

#define NAMES_MAX 4096
#define VARIABLE_MAX 131072U

void
amy__gifts_clear(struct amy__gifts *gifts)
{
    for (size_t i = 0; i < gifts->fd_count; i++) {
        amy__close(&gifts->fds[i]);
    }
    for (size_t i = 0; i < gifts->var_count; i++) {
        amy__free(gifts->vars[i]);
    }
    amy__free(gifts->names);
    *gifts = (struct amy__gifts){0};
}

int
amy__gifts_add_var(struct amy__gifts *gifts, const char *name,
                   const char *value, struct amy_error *err)
{
    struct amy__buf text;
    int rc = 0;

    if (gifts->var_count == AMY__GIFT_VARS) {
        return amy__err(err, AMY_ELIMIT, "more than %d variables",
                        AMY__GIFT_VARS);
    }
    amy__buf_init(&text, VARIABLE_MAX);
    rc = amy__buf_appendf(&text, "%s=%s", name, value);
    if (rc == 0) {
        gifts->vars[gifts->var_count] = amy__strdup(text.data);
        rc = gifts->vars[gifts->var_count] == NULL ? AMY_ENOMEM : 0;
    }
    amy__buf_clear(&text);
    if (rc < 0) {
        return amy__err(err, rc, "adding variable '%s'", name);
    }
    gifts->var_count++;
    return 0;
}

static int
add_name(struct amy__gifts *gifts, const char *name, struct amy_error *err)
{
    struct amy__buf names;
    char *joined = NULL;
    int rc = 0;

    amy__buf_init(&names, NAMES_MAX);
    rc = gifts->names == NULL
             ? amy__buf_append_text(&names, name)
             : amy__buf_appendf(&names, "%s:%s", gifts->names, name);
    if (rc == 0) {
        joined = amy__strdup(names.data);
        rc = joined == NULL ? AMY_ENOMEM : 0;
    }
    amy__buf_clear(&names);
    if (rc < 0) {
        return amy__err(err, rc, "noting a listening socket's name");
    }
    amy__free(gifts->names);
    gifts->names = joined;
    gifts->named++;
    return 0;
}

static int
check_name(const struct amy_pool *pool, const char *name, struct amy_error *err)
{
    if (pool->opts.channel != 0 || pool->gifts.named < pool->gifts.fd_count) {
        return amy__err(err, AMY_ESTATE,
                        "listening sockets are numbers 3, 4, ...: no channel "
                        "and no plain descriptor may come before");
    }
    if (name[0] == '\0' || strchr(name, ':') != NULL) {
        return amy__err(err, AMY_EINVAL,
                        "a listening socket's name may not be empty nor have "
                        "a colon");
    }
    return 0;
}

int
amy_pool_give_fd(struct amy_pool *pool, int fd, const char *listen_name,
                 struct amy_error *err)
{
    struct amy__gifts *gifts = &pool->gifts;
    int copy = -1;
    int rc = 0;

    AMY_CHECK(pool, AMY__POOL_MAGIC);
    if (!gifts->open) {
        return amy__err(err, AMY_ESTATE, "not inside prepare");
    }
    if (gifts->fd_count == AMY__GIFT_FDS) {
        return amy__err(err, AMY_ELIMIT, "more than %d descriptors",
                        AMY__GIFT_FDS);
    }
    rc = listen_name == NULL ? 0 : check_name(pool, listen_name, err);
    if (rc < 0) {
        return rc;
    }
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) {
        return amy__err(err, AMY_EINVAL, "bad descriptor %d", fd);
    }
    rc = listen_name == NULL ? 0 : add_name(gifts, listen_name, err);
    if (rc < 0) {
        amy__close(&copy);
        return rc;
    }
    gifts->fds[gifts->fd_count++] = copy;
    return 0;
}

int
amy_pool_give_env(struct amy_pool *pool, const char *name, const char *value,
                  struct amy_error *err)
{
    AMY_CHECK(pool, AMY__POOL_MAGIC);
    if (!pool->gifts.open) {
        return amy__err(err, AMY_ESTATE, "not inside prepare");
    }
    if (name == NULL || name[0] == '\0' || strchr(name, '=') != NULL ||
        value == NULL) {
        return amy__err(err, AMY_EINVAL, "bad name of a variable, or no value");
    }
    return amy__gifts_add_var(&pool->gifts, name, value, err);
}

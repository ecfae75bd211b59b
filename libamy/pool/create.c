/* Making a pool: its options read, checked and copied, its parts allocated. */
/* Not for running it: pool/pool.c. */
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/log.h"
#include "core/options.h"
#include "pool/internal.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define COUNT_MAX 1024
#define NAME_BYTES_MAX 400
#define LOCK_NAME_MAX 230 /* with the position and ".lock" a file's name */
#define RETRY_MS 60000
#define WITHDRAW_MS_MAX 10000

static uint32_t
or_default(uint32_t given, uint32_t otherwise)
{
    return given == 0 ? otherwise : given;
}

static void
set_defaults(struct amy_pool_options *opts)
{
    opts->generation = opts->generation == 0 ? 1 : opts->generation;
    opts->count = or_default(opts->count, 1);
    opts->stop_signal = opts->stop_signal == 0 ? SIGTERM : opts->stop_signal;
    opts->stop_patience_ms = or_default(opts->stop_patience_ms, 30000);
    opts->boot_timeout_ms = or_default(opts->boot_timeout_ms, 60000);
    opts->probe_every_ms = or_default(opts->probe_every_ms, 100);
    opts->settle_ms = or_default(opts->settle_ms, 1000);
    opts->min_uptime_ms = or_default(opts->min_uptime_ms, 10000);
    opts->backoff_max_ms = or_default(opts->backoff_max_ms, 30000);
    opts->start_retries = or_default(opts->start_retries, 8);
    opts->lock_name = opts->lock_name == NULL ? opts->name : opts->lock_name;
}

static int
check_options(const struct amy_pool_options *opts, struct amy_error *err)
{
    size_t name_bytes = opts->name == NULL ? 0 : strlen(opts->name);

    if (opts->base == NULL) {
        return amy__err(err, AMY_EINVAL, "a pool needs an event base");
    }
    if (name_bytes == 0 || name_bytes > NAME_BYTES_MAX) {
        return amy__err(err, AMY_EINVAL, "a pool needs a name of 1 to %d bytes",
                        NAME_BYTES_MAX);
    }
    if (opts->argv == NULL || opts->argv[0] == NULL ||
        opts->argv[0][0] == '\0') {
        return amy__err(err, AMY_EINVAL, "pool %s: a command is required",
                        opts->name);
    }
    if (opts->count > COUNT_MAX) {
        return amy__err(err, AMY_EINVAL, "pool %s: %u workers, at most %d",
                        opts->name, opts->count, COUNT_MAX);
    }
    if (opts->stop_signal < 0 || opts->stop_signal > SIGRTMAX) {
        return amy__err(err, AMY_EINVAL, "pool %s: no signal has number %d",
                        opts->name, opts->stop_signal);
    }
    if (opts->channel > 1 || opts->stop_first > 1 ||
        opts->withdraw_ms > WITHDRAW_MS_MAX || opts->umask_plus_one > 01000) {
        return amy__err(err, AMY_EINVAL, "pool %s: an option is out of range",
                        opts->name);
    }
    if (opts->lock_dir_fd_plus_one != 0 &&
        (strlen(opts->lock_name) > LOCK_NAME_MAX || opts->lock_name[0] == '.' ||
         strchr(opts->lock_name, '/') != NULL)) {
        return amy__err(err, AMY_EINVAL,
                        "pool %s: lock_name is no plain name of a file",
                        opts->name);
    }
    return 0;
}

static int
find_user(struct amy_pool *pool, struct amy_error *err)
{
    int rc = 0;

    if (pool->opts.user == NULL) {
        return 0;
    }
    rc = amy__user_find(pool->opts.user, &pool->user, err);
    if (rc < 0) {
        return rc;
    }
    pool->opts.user = NULL; /* the caller's; ours is in pool->user */
    pool->has_user = true;
    pool->set_ids = geteuid() == 0;
    if (!pool->set_ids && pool->user.uid != geteuid()) {
        return amy__err(err, AMY_EDENIED,
                        "pool %s: only root may run workers as user '%s'",
                        pool->opts.name, pool->user.name);
    }
    return 0;
}

static int
copy_text(const char **text, char **ret_copy, struct amy_error *err)
{
    if (*text == NULL) {
        return 0;
    }
    *ret_copy = amy__strdup(*text);
    if (*ret_copy == NULL) {
        return amy__err(err, AMY_ENOMEM, "copying a pool's options");
    }
    *text = *ret_copy;
    return 0;
}

static int
copy_list(const char *const **list, char ***ret_copy, struct amy_error *err)
{
    if (*list == NULL) {
        return 0;
    }
    *ret_copy = amy__list_copy(*list);
    if (*ret_copy == NULL) {
        return amy__err(err, AMY_ENOMEM, "copying a pool's options");
    }
    *list = (const char *const *)*ret_copy;
    return 0;
}

static int
copy_options(struct amy_pool *pool, struct amy_error *err)
{
    struct amy_pool_options *opts = &pool->opts;
    int rc = copy_text(&opts->name, &pool->name, err);

    if (rc == 0) {
        rc = copy_text(&opts->lock_name, &pool->lock_name, err);
    }
    if (rc == 0) {
        rc = copy_text(&opts->directory, &pool->directory, err);
    }
    if (rc == 0) {
        rc = copy_list(&opts->argv, &pool->argv, err);
    }
    if (rc == 0) {
        rc = copy_list(&opts->envp, &pool->envp, err);
    }
    return rc;
}

static int
keep_fd(uint32_t fd_plus_one, int *ret_fd, struct amy_error *err)
{
    if (fd_plus_one == 0) {
        return 0;
    }
    *ret_fd = fcntl((int)(fd_plus_one - 1), F_DUPFD_CLOEXEC, 3);
    if (*ret_fd < 0) {
        return amy__err(err, AMY_EINVAL, "descriptor %u cannot be kept",
                        fd_plus_one - 1);
    }
    return 0;
}

static void
set_policy(struct amy_pool *pool)
{
    const struct amy_pool_options *opts = &pool->opts;

    pool->policy = (struct amy__pool_policy){
        .probed = opts->probe != NULL,
        .boot_timeout_ms = opts->boot_timeout_ms,
        .settle_ms = opts->settle_ms,
        .stop_patience_ms = opts->stop_patience_ms,
        .withdraw_ms = opts->withdraw_ms,
        .min_uptime_ms = opts->min_uptime_ms,
        .backoff_max_ms = opts->backoff_max_ms,
        .start_retries = opts->start_retries,
        .retry_ms = RETRY_MS,
    };
}

static int
make_parts(struct amy_pool *pool, struct amy_error *err)
{
    const struct amy_pool_options *opts = &pool->opts;
    int rc = keep_fd(opts->lock_dir_fd_plus_one, &pool->lock_dir_fd, err);

    if (rc == 0) {
        rc = keep_fd(opts->output_fd_plus_one, &pool->output_fd, err);
    }
    if (rc == 0) {
        rc = amy__random(&pool->random, sizeof(pool->random), err);
        pool->random |= 1U; /* xorshift never leaves zero */
    }
    if (rc == 0) {
        rc = amy__timer_create(opts->base, amy__pool_turn, pool, &pool->timer,
                               err);
    }
    if (rc == 0) {
        rc = amy__defer_create(opts->base, amy__pool_turn, pool, &pool->defer,
                               err);
    }
    if (rc < 0) {
        return rc;
    }
    pool->workers = amy__calloc(opts->count, sizeof(*pool->workers));
    if (pool->workers == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a pool's positions");
    }
    for (uint32_t i = 0; i < opts->count; i++) {
        amy__worker_init(&pool->workers[i], pool, i);
    }
    pool->roll = opts->count;
    return 0;
}

AMY_DEFINE_CLEANUP(struct amy_pool *, amy_pool_free)

int
amy_pool_create(const struct amy_pool_options *opts, struct amy_pool **ret_pool,
                struct amy_error *err)
{
    struct amy_pool_options given = {0};
    AMY_CLEANUP(amy_pool_free_p)
    struct amy_pool *pool = NULL;
    int rc =
        amy__options_read(&given, sizeof(given), opts, sizeof(size_t), err);

    if (rc < 0) {
        return rc;
    }
    set_defaults(&given);
    rc = check_options(&given, err);
    if (rc < 0) {
        return rc;
    }
    pool = amy__calloc(1, sizeof(*pool));
    if (pool == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a pool");
    }
    pool->magic = AMY__POOL_MAGIC;
    pool->maker = getpid();
    pool->lock_dir_fd = -1;
    pool->output_fd = -1;
    pool->log = amy__log_copy(given.log);
    pool->opts = given;
    pool->opts.log = NULL;
    rc = copy_options(pool, err);
    if (rc == 0) {
        rc = find_user(pool, err);
    }
    if (rc == 0) {
        set_policy(pool);
        rc = make_parts(pool, err);
    }
    if (rc < 0) {
        return rc;
    }
    *ret_pool = AMY_TAKE(pool);
    return 0;
}

/* Opens the place that a job's spec names. */
/* Not for what such a place can do: store_dir.c, store_s3.c. */
#include "backup/store.h"

#include "core/error.h"

int
amy__store_open(struct amy__job *job, bool change,
                struct amy__store **ret_store, struct amy_error *err)
{
    const struct amy__copy_spec *copy = &job->spec.copy;

    if (copy->directory[0] != '\0') {
        return amy__store_dir_open(job, change, ret_store, err);
    }
    if (copy->s3[0] != '\0') {
        return amy__store_s3_open(job, ret_store, err);
    }
    return amy__err(err, AMY_EINVAL, "the copy names no place");
}

void
amy__store_close(struct amy__store *store)
{
    if (store != NULL) {
        store->ops->close(store);
    }
}

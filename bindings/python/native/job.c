/* One job on a site's backups, in this process. */
/* Not for its spec and its events, which are JSON: amy/backup.py has them. */
#include <amy/backup.h>

#include "native.h"

/* backup_job(directory_fd, spec_fd, event_fd) */
PyObject *
native_backup_job(PyObject *module, PyObject *args)
{
    struct amy_backup_job_options opts = AMY_BACKUP_JOB_OPTIONS_INIT;
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    if (!PyArg_ParseTuple(args, "iii:backup_job", &opts.directory_fd,
                          &opts.spec_fd, &opts.event_fd)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS rc = amy_backup_job(&opts, &err);
    Py_END_ALLOW_THREADS if (rc < 0)
    {
        err.code = rc;
        return native_raise(native_state_of(module), &err);
    }
    Py_RETURN_NONE;
}

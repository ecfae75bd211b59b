/* One request to a daemon over its control socket, waited for. */
/* Not for what the answer means: amy/control.py reads it. */
#include <amy/control.h>

#include "native.h"

#include <event2/event.h>

#include <stdlib.h>
#include <string.h>

struct ask {
    struct native_loop loop;
    struct amy_error err;
    uint32_t status;
    char *body;
    size_t body_bytes;
    bool over;
};

/* Without the GIL: the answer is kept in plain memory. */
static void
on_done(struct amy_control_request *request,
        const struct amy_control_answer *answer, void *user)
{
    struct ask *ask = user;

    (void)request;
    ask->over = true;
    ask->err.code = answer->code;
    ask->status = answer->status;
    strncpy(ask->err.msg, answer->reason, sizeof(ask->err.msg) - 1);
    if (answer->code == 0) {
        ask->body = malloc(answer->body_bytes + 1);
        if (ask->body == NULL) {
            ask->err.code = AMY_ENOMEM;
        } else {
            memcpy(ask->body, answer->body, answer->body_bytes);
            ask->body_bytes = answer->body_bytes;
        }
    }
    native_loop_end(&ask->loop);
}

static PyObject *
finish(const struct ask *ask, const struct native_state *state)
{
    if (ask->err.code != 0) {
        return native_raise(state, &ask->err);
    }
    return Py_BuildValue("(Iy#)", (unsigned)ask->status, ask->body,
                         (Py_ssize_t)ask->body_bytes);
}

static PyObject *
ask_daemon(struct amy_control_options *opts, const struct native_state *state)
{
    struct ask ask = {.over = false};
    struct amy_control_request *request = NULL;
    PyObject *result = NULL;

    if (native_loop_init(&ask.loop) < 0) {
        return NULL;
    }
    opts->base = ask.loop.base;
    opts->on_done = on_done;
    opts->user = &ask;
    if (amy_control_start(opts, &request, &ask.err) < 0) {
        result = native_raise(state, &ask.err);
    } else if (native_loop_run(&ask.loop, -1) == 0) {
        result = finish(&ask, state);
    }
    amy_control_free(request);
    native_loop_clear(&ask.loop);
    free(ask.body);
    return result;
}

/* ask(daemon, method, path, body or None, run_directory, timeout_ms) */
PyObject *
native_ask(PyObject *module, PyObject *args)
{
    struct amy_control_options opts = AMY_CONTROL_OPTIONS_INIT;
    PyObject *directory = NULL;
    unsigned timeout_ms = 0;
    PyObject *result = NULL;

    if (!PyArg_ParseTuple(args, "ssszO&I:ask", &opts.daemon, &opts.method,
                          &opts.path, &opts.body, PyUnicode_FSConverter,
                          &directory, &timeout_ms)) {
        return NULL;
    }
    opts.run_directory = PyBytes_AsString(directory);
    opts.timeout_ms = timeout_ms;
    if (opts.run_directory != NULL) {
        result = ask_daemon(&opts, native_state_of(module));
    }
    Py_DECREF(directory);
    return result;
}

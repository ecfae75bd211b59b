/* The type amy._native.Gate: a gate and the loop it lives on. */
/* Not for programs: amy/gate.py is the class they use. */
#include <amy/gate.h>

#include "native.h"

#include <event2/event.h>

struct gate_object {
    PyObject_HEAD struct native_guard guard;
    struct native_loop loop;
    struct amy_gate *gate; /* NULL: closed, or never made */
    bool waiting;
    bool changed;
};

typedef int (*gate_fn)(struct amy_gate *gate, const char *by,
                       struct amy_error *err);

static const struct native_state *
state_of(struct gate_object *self)
{
    return PyType_GetModuleState(Py_TYPE((PyObject *)self));
}

/* Without the GIL. */
static void
on_change(struct amy_gate *gate, enum amy_gate_state state, void *user)
{
    struct gate_object *self = user;

    (void)gate;
    (void)state;
    self->changed = true;
    if (self->waiting) {
        native_loop_end(&self->loop);
    }
}

static int
open_gate(struct gate_object *self, const char *directory,
          unsigned retry_after_s)
{
    struct amy_gate_options opts = AMY_GATE_OPTIONS_INIT;
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    if (native_loop_init(&self->loop) < 0) {
        return -1;
    }
    opts.base = self->loop.base;
    opts.directory = directory;
    opts.retry_after_s = retry_after_s;
    opts.on_change = on_change;
    opts.user = self;
    Py_BEGIN_ALLOW_THREADS rc = amy_gate_create(&opts, &self->gate, &err);
    Py_END_ALLOW_THREADS if (rc < 0)
    {
        (void)native_raise(state_of(self), &err);
    }
    return rc < 0 ? -1 : 0;
}

/* Gate(directory, retry_after_s) */
static PyObject *
gate_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    struct gate_object *self = NULL;
    PyObject *directory = NULL;
    unsigned retry_after_s = 0;

    (void)keywords;
    if (!PyArg_ParseTuple(args, "O&I:Gate", PyUnicode_FSConverter, &directory,
                          &retry_after_s)) {
        return NULL;
    }
    self = (struct gate_object *)PyType_GenericAlloc(type, 0);
    if (self != NULL) {
        native_guard_init(&self->guard);
        if (open_gate(self, PyBytes_AsString(directory), retry_after_s) < 0) {
            Py_DECREF((PyObject *)self);
            self = NULL;
        }
    }
    Py_DECREF(directory);
    return (PyObject *)self;
}

/* In a child after fork nothing is freed: it would take the parent's events out
 * of the epoll set that both have. */
static void
release(struct gate_object *self)
{
    if (native_guard_is_ours(&self->guard)) {
        amy_gate_free(self->gate);
        native_loop_clear(&self->loop);
    }
    self->gate = NULL;
}

static void
gate_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);

    release((struct gate_object *)object);
    PyObject_Free(object);
    Py_DECREF(type);
}

/* True: the caller has it until native_guard_leave(). */
static bool
enter(struct gate_object *self)
{
    if (!native_guard_enter(&self->guard, state_of(self))) {
        return false;
    }
    if (self->gate == NULL) {
        native_guard_leave(&self->guard);
        (void)native_raise_text(state_of(self), AMY_ESTATE,
                                "the gate was freed");
        return false;
    }
    return true;
}

/* One call of the library that may read or rename files. */
static PyObject *
call(struct gate_object *self, gate_fn fn, const char *by)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    if (!enter(self)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS rc = fn(self->gate, by, &err);
    Py_END_ALLOW_THREADS native_guard_leave(&self->guard);
    if (rc < 0) {
        return native_raise(state_of(self), &err);
    }
    Py_RETURN_NONE;
}

static int
poll_gate(struct amy_gate *gate, const char *by, struct amy_error *err)
{
    (void)by;
    return amy_gate_poll(gate, err);
}

static PyObject *
gate_poll(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    return call((struct gate_object *)self, poll_gate, NULL);
}

static PyObject *
change(PyObject *self, PyObject *args, gate_fn fn)
{
    const char *by = NULL;

    if (!PyArg_ParseTuple(args, "s", &by)) {
        return NULL;
    }
    return call((struct gate_object *)self, fn, by);
}

static PyObject *
gate_shut(PyObject *self, PyObject *args)
{
    return change(self, args, amy_gate_close);
}

static PyObject *
gate_open(PyObject *self, PyObject *args)
{
    return change(self, args, amy_gate_open);
}

/* (closed, retry_after_s, since_wall_ms, by, warning, page) */
static PyObject *
gate_read(PyObject *object, PyObject *nothing)
{
    struct gate_object *self = (struct gate_object *)object;
    struct amy_gate_view view = {.struct_size = sizeof(view)};
    PyObject *closed = NULL;

    (void)nothing;
    if (!enter(self)) {
        return NULL;
    }
    amy_gate_read(self->gate, &view);
    native_guard_leave(&self->guard);
    closed = view.state == AMY_GATE_CLOSED ? Py_True : Py_False;
    return Py_BuildValue("(OILNNy#)", closed, (unsigned)view.retry_after_s,
                         (long long)view.since_wall_ms, native_text(view.by),
                         native_text(view.warning),
                         view.page == NULL ? "" : view.page,
                         (Py_ssize_t)view.page_bytes);
}

/* wait(timeout_ms): True when state or page changed since the last wait. */
static PyObject *
gate_wait(PyObject *object, PyObject *args)
{
    struct gate_object *self = (struct gate_object *)object;
    long long timeout_ms = 0;
    bool changed = false;
    int rc = 0;

    if (!PyArg_ParseTuple(args, "L:wait", &timeout_ms) || !enter(self)) {
        return NULL;
    }
    if (!self->changed) {
        self->waiting = true;
        rc = native_loop_run(&self->loop, timeout_ms);
        self->waiting = false;
    }
    changed = self->changed;
    if (rc == 0) {
        self->changed = false;
    }
    native_guard_leave(&self->guard);
    return rc < 0 ? NULL : PyBool_FromLong(changed);
}

static PyObject *
gate_free(PyObject *object, PyObject *nothing)
{
    struct gate_object *self = (struct gate_object *)object;

    (void)nothing;
    if (!native_guard_enter(&self->guard, state_of(self))) {
        return NULL;
    }
    release(self);
    native_guard_leave(&self->guard);
    Py_RETURN_NONE;
}

static PyMethodDef gate_methods[] = {
    {"poll", gate_poll, METH_NOARGS, "Look at the directory now."},
    {"shut", gate_shut, METH_VARARGS, "Close the site."},
    {"open", gate_open, METH_VARARGS, "Open the site."},
    {"read", gate_read, METH_NOARGS, "What the gate shows."},
    {"wait", gate_wait, METH_VARARGS, "Wait for a change."},
    {"free", gate_free, METH_NOARGS, "Give it back."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot gate_slots[] = {
    {Py_tp_new, gate_new},
    {Py_tp_dealloc, gate_dealloc},
    {Py_tp_methods, gate_methods},
    {Py_tp_doc, "A maintenance gate of libamy's; use amy.gate.Gate."},
    {0, NULL},
};

PyType_Spec native_gate_spec = {
    .name = "amy._native.Gate",
    .basicsize = sizeof(struct gate_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = gate_slots,
};

/* amy._native: the few calls into libamy that Python cannot make itself. */
/* Not for programs: the modules of the package are what they use. */
#include <amy/version.h>

#include "native.h"

#include <string.h>
#include <unistd.h>

/* ---- errors ---- */

struct native_state *
native_state_of(PyObject *module)
{
    return PyModule_GetState(module);
}

PyObject *
native_text(const char *text)
{
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

static PyObject *
raise(const struct native_state *state, const struct amy_error *err,
      PyObject *fate)
{
    const char *message =
        err->msg[0] == '\0' ? amy_strerror(err->code) : err->msg;
    PyObject *error = PyObject_CallFunction(
        state->error_class, "iNiILNOO", err->code, native_text(message),
        err->sys_errno, (unsigned)err->source, (long long)err->detail,
        native_text(err->sqlstate), Py_None, fate);

    if (error != NULL) {
        PyErr_SetObject(state->error_class, error);
        Py_DECREF(error);
    }
    return NULL;
}

PyObject *
native_raise(const struct native_state *state, const struct amy_error *err)
{
    return raise(state, err, Py_None);
}

PyObject *
native_raise_fate(const struct native_state *state, const struct amy_error *err,
                  int fate)
{
    PyObject *number = PyLong_FromLong(fate);

    if (number != NULL) {
        (void)raise(state, err, number);
        Py_DECREF(number);
    }
    return NULL;
}

PyObject *
native_raise_text(const struct native_state *state, int code,
                  const char *message)
{
    struct amy_error err = AMY_ERROR_INIT;

    err.code = code;
    (void)PyOS_snprintf(err.msg, sizeof(err.msg), "%s", message);
    return native_raise(state, &err);
}

/* ---- who may use an object ---- */

void
native_guard_init(struct native_guard *guard)
{
    guard->pid = getpid();
    guard->busy = false;
}

bool
native_guard_is_ours(const struct native_guard *guard)
{
    return guard->pid == getpid();
}

bool
native_guard_enter(struct native_guard *guard, const struct native_state *state)
{
    if (!native_guard_is_ours(guard)) {
        (void)native_raise_text(state, AMY_ESTATE,
                                "made before a fork: the child makes its own");
        return false;
    }
    if (guard->busy) {
        (void)native_raise_text(state, AMY_EBUSY,
                                "another thread is in a call of this object");
        return false;
    }
    guard->busy = true;
    return true;
}

void
native_guard_leave(struct native_guard *guard)
{
    guard->busy = false;
}

/* ---- the module ---- */

static PyMethodDef methods[] = {
    {"ask", native_ask, METH_VARARGS, "One request to a daemon."},
    {"backup_job", native_backup_job, METH_VARARGS, "One job on backups."},
    {NULL, NULL, 0, NULL},
};

/* {"EINVAL": -1, ...}: what the enumeration in Python is tested against. */
static int
add_codes(PyObject *module)
{
    static const struct {
        const char *name;
        int value;
    } codes[] = {
#define AMY_X(name, value, text) {#name, value},
        AMY_ERROR_MAP(AMY_X)
#undef AMY_X
    };
    PyObject *all = PyDict_New();
    int rc = all == NULL ? -1 : 0;

    for (size_t i = 0; rc == 0 && i < sizeof(codes) / sizeof(codes[0]); i++) {
        PyObject *value = PyLong_FromLong(codes[i].value);

        rc = value == NULL ? -1
                           : PyDict_SetItemString(all, codes[i].name, value);
        Py_XDECREF(value);
    }
    rc = rc == 0 ? PyModule_AddObjectRef(module, "CODES", all) : rc;
    Py_XDECREF(all);
    return rc;
}

static int
add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **ret_type)
{
    *ret_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return *ret_type == NULL ? -1 : PyModule_AddType(module, *ret_type);
}

static int
fill(PyObject *module)
{
    struct native_state *state = native_state_of(module);
    PyObject *errors = PyImport_ImportModule("amy.errors");

    if (errors == NULL) {
        return -1;
    }
    state->error_class = PyObject_GetAttrString(errors, "Error");
    Py_DECREF(errors);
    if (state->error_class == NULL || add_codes(module) < 0 ||
        add_type(module, &native_gate_spec, &state->gate_type) < 0 ||
        add_type(module, &native_redis_spec, &state->redis_type) < 0) {
        return -1;
    }
    return PyModule_AddStringConstant(module, "VERSION", amy_version());
}

static int
traverse(PyObject *module, visitproc visit, void *arg)
{
    const struct native_state *state = native_state_of(module);

    if (state != NULL) {
        Py_VISIT(state->error_class);
        Py_VISIT(state->gate_type);
        Py_VISIT(state->redis_type);
    }
    return 0;
}

static int
clear(PyObject *module)
{
    struct native_state *state = native_state_of(module);

    if (state != NULL) {
        Py_CLEAR(state->error_class);
        Py_CLEAR(state->gate_type);
        Py_CLEAR(state->redis_type);
    }
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, fill},
    {0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "amy._native",
    .m_doc = "Calls into libamy; not for programs.",
    .m_size = sizeof(struct native_state),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
};

PyMODINIT_FUNC
PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}

/* What the files of the extension amy._native share. */
/* Not for anything that Python code can do as well: that is in src/amy. */
#ifndef AMY_PYTHON_NATIVE_H
#define AMY_PYTHON_NATIVE_H

/* The stable ABI: one build serves this Python and all that follow. */
#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include <amy/error.h>

#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

struct event_base;

/* The module's state: nothing here is static, so that each interpreter has its
 * own. */
struct native_state {
    PyObject *error_class; /* amy.errors.Error */
    PyTypeObject *gate_type;
    PyTypeObject *redis_type;
};

struct native_state *native_state_of(PyObject *module);

/* Text of the library's as a str, a new reference: it may have a path's or a
 * peer's bytes in it, and be cut within a character. */
PyObject *native_text(const char *text);

/* Raise amy.Error from what the library told. Always NULL. */
PyObject *native_raise(const struct native_state *state,
                       const struct amy_error *err);

/* The same with what is known of a Redis command: enum amy_redis_fate. */
PyObject *native_raise_fate(const struct native_state *state,
                            const struct amy_error *err, int fate);

/* The same for a fault that the extension finds itself. */
PyObject *native_raise_text(const struct native_state *state, int code,
                            const char *message);

/* Who may use an object that wraps one of the library's: one thread at a time,
 * and only in the process that made it. */
struct native_guard {
    int64_t pid;
    bool busy; /* read and written with the GIL held */
};

void native_guard_init(struct native_guard *guard);

/* False: an exception is set. */
bool native_guard_enter(struct native_guard *guard,
                        const struct native_state *state);
void native_guard_leave(struct native_guard *guard);

/* False in a child after fork: what the library made may not be touched then.
 */
bool native_guard_is_ours(const struct native_guard *guard);

/* An event base of our own, run without the GIL. */
struct native_loop {
    struct event_base *base;
    PyThreadState *thread;
    bool late;
    bool interrupted;
};

/* 0, or -1 with MemoryError set. */
int native_loop_init(struct native_loop *loop);
void native_loop_clear(struct native_loop *loop);

/* Run until native_loop_end(), for timeout_ms at most (negative: for ever).
 * 0: ended or too late (loop->late), -1: an exception of Python's is set, by a
 * signal's handler. Called with the GIL held; without it while waiting. */
int native_loop_run(struct native_loop *loop, int64_t timeout_ms);

/* From inside a callback of the library, without the GIL. */
void native_loop_end(struct native_loop *loop);

extern PyType_Spec native_gate_spec;
extern PyType_Spec native_redis_spec;

PyObject *native_ask(PyObject *module, PyObject *args);
PyObject *native_backup_job(PyObject *module, PyObject *args);

#endif

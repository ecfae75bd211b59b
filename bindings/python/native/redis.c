/* The type amy._native.Redis: a blocking client. */
/* Not for programs: amy/redis.py is the class they use. */
#include <amy/redis.h>

#include "native.h"

#include <string.h>

struct redis_object {
    PyObject_HEAD struct native_guard guard;
    struct amy_redis *client; /* NULL: closed, or never made */
};

/* The words of a command: bytes objects that are held, and where they lie. */
struct words {
    PyObject *held; /* a tuple of bytes */
    const char **argv;
    size_t *lengths;
};

static const struct native_state *
state_of(struct redis_object *self)
{
    return PyType_GetModuleState(Py_TYPE((PyObject *)self));
}

/* ---- life ---- */

/* Redis(url, name, ca_file, cert_file, key_file, server_name, timeout_ms,
 * connect_ms, reply_bytes_max) */
static PyObject *
redis_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    struct amy_redis_options opts = AMY_REDIS_OPTIONS_INIT;
    struct amy_error err = AMY_ERROR_INIT;
    struct redis_object *self = NULL;
    unsigned timeout_ms = 0;
    unsigned connect_ms = 0;
    Py_ssize_t most = 0;

    (void)keywords;
    if (!PyArg_ParseTuple(args, "szzzzzIIn:Redis", &opts.url, &opts.name,
                          &opts.ca_file, &opts.cert_file, &opts.key_file,
                          &opts.server_name, &timeout_ms, &connect_ms, &most)) {
        return NULL;
    }
    opts.timeout_ms = timeout_ms;
    opts.connect_ms = connect_ms;
    opts.reply_bytes_max = (size_t)most;
    self = (struct redis_object *)PyType_GenericAlloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    native_guard_init(&self->guard);
    if (amy_redis_create(&opts, &self->client, &err) < 0) {
        (void)native_raise(state_of(self), &err);
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    return (PyObject *)self;
}

/* Also in a child after fork: the library leaves the parent's connection. */
static void
release(struct redis_object *self)
{
    amy_redis_free(self->client);
    self->client = NULL;
}

static void
redis_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);

    release((struct redis_object *)object);
    PyObject_Free(object);
    Py_DECREF(type);
}

static bool
enter(struct redis_object *self)
{
    if (!native_guard_enter(&self->guard, state_of(self))) {
        return false;
    }
    if (self->client == NULL) {
        native_guard_leave(&self->guard);
        (void)native_raise_text(state_of(self), AMY_ESTATE,
                                "the client was freed");
        return false;
    }
    return true;
}

/* ---- commands ---- */

/* A word as bytes, a new reference; NULL: an exception is set. */
static PyObject *
bytes_of(PyObject *word)
{
    PyObject *text = NULL;
    PyObject *bytes = NULL;

    if (PyBytes_Check(word)) {
        Py_INCREF(word);
        return word;
    }
    if (PyUnicode_Check(word)) {
        return PyUnicode_AsUTF8String(word);
    }
    if ((!PyLong_Check(word) && !PyFloat_Check(word)) || PyBool_Check(word)) {
        PyErr_SetString(PyExc_TypeError,
                        "a word of a command is str, bytes, int or float");
        return NULL;
    }
    text = PyObject_Str(word);
    bytes = text == NULL ? NULL : PyUnicode_AsUTF8String(text);
    Py_XDECREF(text);
    return bytes;
}

static void
words_clear(struct words *words)
{
    Py_CLEAR(words->held);
    PyMem_Free(words->argv);
    PyMem_Free(words->lengths);
    *words = (struct words){NULL, NULL, NULL};
}

/* The sequence in words->held gives way to a tuple of bytes. */
static bool
hold_bytes(struct words *words, Py_ssize_t count)
{
    PyObject *held = PyTuple_New(count);

    for (Py_ssize_t i = 0; held != NULL && i < count; i++) {
        PyObject *bytes = bytes_of(PyTuple_GetItem(words->held, i));

        if (bytes == NULL || PyTuple_SetItem(held, i, bytes) < 0) {
            Py_CLEAR(held);
            break;
        }
        words->argv[i] = PyBytes_AsString(bytes);
        words->lengths[i] = (size_t)PyBytes_Size(bytes);
    }
    Py_DECREF(words->held);
    words->held = held;
    return held != NULL;
}

/* False: an exception is set. On success until words_clear(). */
static bool
read_words(PyObject *sequence, struct words *words,
           struct amy_redis_command *command)
{
    Py_ssize_t count = 0;

    /* A text is a sequence of texts, too; nobody means its characters. */
    if (PyUnicode_Check(sequence) || PyBytes_Check(sequence)) {
        PyErr_SetString(PyExc_TypeError, "a command is a sequence of words");
        return false;
    }
    *words = (struct words){PySequence_Tuple(sequence), NULL, NULL};
    if (words->held == NULL) {
        return false;
    }
    count = PyTuple_Size(words->held);
    words->argv = PyMem_Malloc((size_t)(count + 1) * sizeof(*words->argv));
    words->lengths =
        PyMem_Malloc((size_t)(count + 1) * sizeof(*words->lengths));
    if (words->argv == NULL || words->lengths == NULL) {
        words_clear(words);
        (void)PyErr_NoMemory();
        return false;
    }
    if (!hold_bytes(words, count)) {
        words_clear(words);
        return false;
    }
    command->argc = (size_t)count;
    command->argv = words->argv;
    command->lengths = words->lengths;
    return true;
}

/* ---- replies ---- */

static PyObject *from_reply(const struct amy_redis_reply *reply);

static PyObject *
from_array(const struct amy_redis_reply *reply)
{
    size_t count = amy_redis_reply_count(reply);
    PyObject *list = PyList_New((Py_ssize_t)count);

    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *item = from_reply(amy_redis_reply_at(reply, i));

        if (item == NULL || PyList_SetItem(list, (Py_ssize_t)i, item) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

/* An error among others is a tuple, of which amy/redis.py makes an ErrorReply.
 * Arrays are no deeper than AMY_REDIS_DEPTH_MAX. */
static PyObject *
from_reply(const struct amy_redis_reply *reply)
{
    size_t bytes = 0;
    const char *text = amy_redis_reply_text(reply, &bytes);

    switch (amy_redis_reply_type(reply)) {
    case AMY_REDIS_STRING:
        return PyBytes_FromStringAndSize(text, (Py_ssize_t)bytes);
    case AMY_REDIS_STATUS:
        return PyUnicode_DecodeUTF8(text, (Py_ssize_t)bytes, "replace");
    case AMY_REDIS_ERROR:
        return Py_BuildValue(
            "(N)", PyUnicode_DecodeUTF8(text, (Py_ssize_t)bytes, "replace"));
    case AMY_REDIS_INTEGER:
        return PyLong_FromLongLong(amy_redis_reply_integer(reply));
    case AMY_REDIS_ARRAY:
        return from_array(reply);
    default:
        Py_RETURN_NONE;
    }
}

static PyObject *
finish(struct redis_object *self, int rc, const struct amy_redis_result *result,
       struct amy_error *err)
{
    if (rc < 0) {
        err->code = rc;
        return native_raise_fate(state_of(self), err, (int)result->fate);
    }
    return from_reply(result->reply);
}

/* run(words, timeout_ms) */
static PyObject *
redis_run(PyObject *object, PyObject *args)
{
    struct redis_object *self = (struct redis_object *)object;
    struct amy_redis_command command = AMY_REDIS_COMMAND_INIT;
    struct amy_redis_result result = AMY_REDIS_RESULT_INIT;
    struct amy_error err = AMY_ERROR_INIT;
    struct words words;
    PyObject *sequence = NULL;
    PyObject *reply = NULL;
    unsigned timeout_ms = 0;
    int rc = 0;

    if (!PyArg_ParseTuple(args, "OI:run", &sequence, &timeout_ms) ||
        !read_words(sequence, &words, &command)) {
        return NULL;
    }
    command.timeout_ms = timeout_ms;
    if (enter(self)) {
        Py_BEGIN_ALLOW_THREADS rc =
            amy_redis_run(self->client, &command, &result, &err);
        Py_END_ALLOW_THREADS reply = finish(self, rc, &result, &err);
        native_guard_leave(&self->guard);
    }
    words_clear(&words);
    return reply;
}

/* ---- batches ---- */

/* False: an exception is set. */
static bool
add_command(struct redis_object *self, struct amy_redis_batch *batch,
            PyObject *sequence)
{
    struct amy_redis_command command = AMY_REDIS_COMMAND_INIT;
    struct amy_error err = AMY_ERROR_INIT;
    struct words words;
    int rc = 0;

    if (!read_words(sequence, &words, &command)) {
        return false;
    }
    rc = amy_redis_batch_add(batch, &command, &err);
    words_clear(&words);
    if (rc < 0) {
        (void)native_raise_fate(state_of(self), &err, AMY_REDIS_NOT_RUN);
    }
    return rc == 0;
}

static bool
add_commands(struct redis_object *self, struct amy_redis_batch *batch,
             PyObject *commands)
{
    PyObject *iterator = PyObject_GetIter(commands);
    PyObject *sequence = NULL;
    bool good = iterator != NULL;

    while (good && (sequence = PyIter_Next(iterator)) != NULL) {
        good = add_command(self, batch, sequence);
        Py_DECREF(sequence);
    }
    Py_XDECREF(iterator);
    return good && PyErr_Occurred() == NULL;
}

static PyObject *
run_batch(struct redis_object *self, const struct amy_redis_batch *batch)
{
    struct amy_redis_result result = AMY_REDIS_RESULT_INIT;
    struct amy_error err = AMY_ERROR_INIT;
    PyObject *reply = NULL;
    int rc = 0;

    if (enter(self)) {
        Py_BEGIN_ALLOW_THREADS rc =
            amy_redis_run_batch(self->client, batch, &result, &err);
        Py_END_ALLOW_THREADS reply = finish(self, rc, &result, &err);
        native_guard_leave(&self->guard);
    }
    return reply;
}

/* batch(commands, timeout_ms, atomic, bytes_max) */
static PyObject *
redis_batch(PyObject *object, PyObject *args)
{
    struct redis_object *self = (struct redis_object *)object;
    struct amy_redis_batch_options opts = AMY_REDIS_BATCH_OPTIONS_INIT;
    struct amy_redis_batch *batch = NULL;
    struct amy_error err = AMY_ERROR_INIT;
    PyObject *commands = NULL;
    PyObject *reply = NULL;
    unsigned timeout_ms = 0;
    int atomic = 0;
    Py_ssize_t most = 0;

    if (!PyArg_ParseTuple(args, "OIpn:batch", &commands, &timeout_ms, &atomic,
                          &most)) {
        return NULL;
    }
    opts.timeout_ms = timeout_ms;
    opts.atomic = atomic != 0;
    opts.bytes_max = (size_t)most;
    if (amy_redis_batch_create(&opts, &batch, &err) < 0) {
        return native_raise(state_of(self), &err);
    }
    if (add_commands(self, batch, commands)) {
        reply = run_batch(self, batch);
    }
    amy_redis_batch_free(batch);
    return reply;
}

/* (state, failures, connections, retry_ms, problem) */
static PyObject *
redis_view(PyObject *object, PyObject *nothing)
{
    struct redis_object *self = (struct redis_object *)object;
    struct amy_redis_view view = AMY_REDIS_VIEW_INIT;
    PyObject *result = NULL;

    (void)nothing;
    if (!enter(self)) {
        return NULL;
    }
    amy_redis_read(self->client, &view);
    result =
        Py_BuildValue("(IIKLN)", (unsigned)view.state, (unsigned)view.failures,
                      (unsigned long long)view.connections,
                      (long long)view.retry_ms, native_text(view.problem));
    native_guard_leave(&self->guard);
    return result;
}

static PyObject *
redis_free(PyObject *object, PyObject *nothing)
{
    struct redis_object *self = (struct redis_object *)object;

    (void)nothing;
    if (!native_guard_enter(&self->guard, state_of(self))) {
        return NULL;
    }
    release(self);
    native_guard_leave(&self->guard);
    Py_RETURN_NONE;
}

static PyMethodDef redis_methods[] = {
    {"run", redis_run, METH_VARARGS, "One command, waited for."},
    {"batch", redis_batch, METH_VARARGS, "Many commands as one."},
    {"view", redis_view, METH_NOARGS, "What the client is doing."},
    {"free", redis_free, METH_NOARGS, "Give it back."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot redis_slots[] = {
    {Py_tp_new, redis_new},
    {Py_tp_dealloc, redis_dealloc},
    {Py_tp_methods, redis_methods},
    {Py_tp_doc, "A Redis client of libamy's; use amy.redis.Client."},
    {0, NULL},
};

PyType_Spec native_redis_spec = {
    .name = "amy._native.Redis",
    .basicsize = sizeof(struct redis_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = redis_slots,
};

/* Keeps lines of different workers apart until they are written. */
/* Not for what belongs to a traceback: trace.c. */
#include "workers/pieces.h"

#include "core/alloc.h"
#include "core/buf.h"
#include "workers/trace.h"

/* Room for one line of the longest kind and what stands before it. */
#define PIECE_MAX ((size_t)128 * 1024)
/* Larger ones are freed once they are written. */
#define SPARE_MAX ((size_t)16 * 1024)

struct amy__piece {
    struct amy__piece *next;
    int64_t pid;
    int64_t since_ms;
    enum amy__trace trace;
    size_t last; /* where its last line begins */
    struct amy__buf text;
};

static void
free_piece(struct amy__piece *piece)
{
    if (piece != NULL) {
        amy__buf_clear(&piece->text);
        amy__free(piece);
    }
}

static struct amy__piece *
take_spare(struct amy__pieces *pieces)
{
    struct amy__piece *piece = pieces->spare;

    if (piece != NULL) {
        pieces->spare = NULL;
        return piece;
    }
    piece = amy__calloc(1, sizeof(*piece));
    if (piece != NULL) {
        amy__buf_init(&piece->text, PIECE_MAX);
    }
    return piece;
}

/* The piece of this process, or a new one at the end. */
static struct amy__piece *
piece_of(struct amy__pieces *pieces, int64_t pid, int64_t now_ms)
{
    struct amy__piece **at = &pieces->first;

    while (*at != NULL && (*at)->pid != pid) {
        at = &(*at)->next;
    }
    if (*at == NULL) {
        *at = take_spare(pieces);
        if (*at != NULL) {
            (*at)->pid = pid;
            (*at)->since_ms = now_ms;
            (*at)->trace = AMY__TRACE_NONE;
            (*at)->last = 0;
            (*at)->next = NULL;
        }
    }
    return *at;
}

static void
write_piece(struct amy__pieces *pieces, struct amy__piece *piece)
{
    if (piece->text.len > 0) {
        pieces->fn(amy__buf_span(&piece->text), pieces->user);
    }
    piece->text.len = 0;
}

/* A traceback begins: with the line before it, which says what it is about, a
 * piece of its own. Else one that raises without end would have its lines
 * written in the middle of a traceback. */
static void
begin_traceback(struct amy__pieces *pieces, struct amy__piece *piece,
                int64_t now_ms)
{
    size_t before =
        piece->trace == AMY__TRACE_NONE ? piece->last : piece->text.len;

    if (before > 0) {
        pieces->fn((struct amy__span){piece->text.data, before}, pieces->user);
        amy__buf_consume(&piece->text, before);
    }
    piece->since_ms = now_ms;
}

bool
amy__pieces_add(struct amy__pieces *pieces, int64_t pid, int64_t now_ms,
                struct amy__span prefix, struct amy__span line)
{
    struct amy__piece *piece = piece_of(pieces, pid, now_ms);
    enum amy__trace next = AMY__TRACE_NONE;

    if (piece == NULL) {
        return false;
    }
    next = amy__trace_next(piece->trace, line);
    if (next == AMY__TRACE_INSIDE &&
        (piece->trace == AMY__TRACE_NONE || piece->trace == AMY__TRACE_AFTER)) {
        begin_traceback(pieces, piece, now_ms);
    }
    if (piece->text.len + prefix.n + line.n + 1 > PIECE_MAX) {
        write_piece(pieces, piece);
    }
    if (amy__buf_reserve(&piece->text, prefix.n + line.n + 1) < 0) {
        return false;
    }
    piece->last = piece->text.len;
    (void)amy__buf_append_span(&piece->text, prefix);
    (void)amy__buf_append_span(&piece->text, line);
    (void)amy__buf_append(&piece->text, "\n", 1);
    piece->trace = next;
    return true;
}

/* Take the piece at *at out of the list. */
static void
drop(struct amy__pieces *pieces, struct amy__piece **at)
{
    struct amy__piece *piece = *at;

    *at = piece->next;
    if (pieces->spare == NULL && piece->text.cap <= SPARE_MAX) {
        pieces->spare = piece;
        return;
    }
    free_piece(piece);
}

int64_t
amy__pieces_flush(struct amy__pieces *pieces, int64_t now_ms)
{
    struct amy__piece **at = &pieces->first;
    int64_t next_ms = INT64_MAX;

    while (*at != NULL) {
        struct amy__piece *piece = *at;
        int64_t due_ms = piece->trace == AMY__TRACE_NONE
                             ? now_ms
                             : piece->since_ms + AMY__PIECE_HOLD_MS;

        if (due_ms <= now_ms) {
            write_piece(pieces, piece);
            drop(pieces, at);
            continue;
        }
        next_ms = due_ms < next_ms ? due_ms : next_ms;
        at = &piece->next;
    }
    return next_ms;
}

void
amy__pieces_clear(struct amy__pieces *pieces)
{
    (void)amy__pieces_flush(pieces, INT64_MAX);
    free_piece(pieces->spare);
    pieces->spare = NULL;
}

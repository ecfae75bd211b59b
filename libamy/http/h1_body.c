/* The reader of bodies: a length, chunks, or all until the end of stream.
 * Extensions and trailers are checked and dropped, for what we send is framed
 * anew. Not for heads, and it does not know what a body is worth. */
#include "http/h1_body.h"

#include "http/chars.h"
#include "http/h1_parse.h"

#define SIZE_DIGITS_MAX 16

enum step {
    STEP_SIZE = 0,
    STEP_EXTENSION,
    STEP_SIZE_LF,
    STEP_DATA,
    STEP_DATA_CR,
    STEP_DATA_LF,
    STEP_TRAILER, /* at the start of a line */
    STEP_TRAILER_NAME,
    STEP_TRAILER_VALUE,
    STEP_TRAILER_LF,
    STEP_LAST_LF,
};

void
amy__h1_body_begin(struct amy__h1_body *body, enum amy__body_kind kind,
                   uint64_t length, const struct amy__codec_limits *limits)
{
    *body = (struct amy__h1_body){
        .kind = kind,
        .left = kind == AMY__BODY_LENGTH ? length : 0,
        .ext_left = limits->chunk_ext_bytes,
        .trail_left = limits->head_bytes,
        .lines_max = limits->field_count,
        .done =
            kind == AMY__BODY_NONE || (kind == AMY__BODY_LENGTH && length == 0),
    };
}

static int
take_size(struct amy__h1_body *b, char c, struct amy__codec_fault *fault)
{
    int digit = amy__hex_value(c);

    if (digit >= 0) {
        if (b->digits == SIZE_DIGITS_MAX || b->left > (INT64_MAX >> 4)) {
            return amy__h1_fault(fault, 400, "chunk size too large");
        }
        b->digits++;
        b->left = b->left << 4 | (uint64_t)digit;
        return 0;
    }
    if (b->digits == 0 || (c != ';' && c != '\r')) {
        return amy__h1_fault(fault, 400, "malformed chunk size");
    }
    b->step = c == ';' ? STEP_EXTENSION : STEP_SIZE_LF;
    return 0;
}

static int
take_extension(struct amy__h1_body *b, char c, struct amy__codec_fault *fault)
{
    if (c == '\r') {
        b->step = STEP_SIZE_LF;
        return 0;
    }
    if ((amy__chars[(uint8_t)c] & AMY__CHAR_VALUE) == 0) {
        return amy__h1_fault(fault, 400, "malformed chunk extension");
    }
    if (b->ext_left == 0) {
        return amy__h1_fault(fault, 400, "chunk extensions too long");
    }
    b->ext_left--;
    return 0;
}

/* One byte that must be there; then the next step. */
static int
take_exact(struct amy__h1_body *b, char c, char want, enum step next,
           struct amy__codec_fault *fault)
{
    if (c != want) {
        return amy__h1_fault(fault, 400, "chunk not ended by CRLF");
    }
    b->step = (uint8_t)next;
    return 0;
}

static int
take_trailer(struct amy__h1_body *b, char c, struct amy__codec_fault *fault)
{
    uint8_t class = amy__chars[(uint8_t)c];
    bool fine = true;

    if (b->trail_left == 0) {
        return amy__h1_fault(fault, 431, "trailers too long");
    }
    b->trail_left--;
    if (b->step == STEP_TRAILER && c == '\r') {
        b->step = STEP_LAST_LF;
    } else if (b->step == STEP_TRAILER) {
        if (b->lines == b->lines_max) {
            return amy__h1_fault(fault, 431, "too many trailers");
        }
        b->lines++;
        b->step = STEP_TRAILER_NAME;
        fine = (class & AMY__CHAR_TOKEN) != 0;
    } else if (b->step == STEP_TRAILER_NAME) {
        b->step = c == ':' ? STEP_TRAILER_VALUE : STEP_TRAILER_NAME;
        fine = c == ':' || (class & AMY__CHAR_TOKEN) != 0;
    } else {
        b->step = c == '\r' ? STEP_TRAILER_LF : STEP_TRAILER_VALUE;
        fine = c == '\r' || (class & AMY__CHAR_VALUE) != 0;
    }
    return fine ? 0 : amy__h1_fault(fault, 400, "malformed trailer");
}

static int
take_framing(struct amy__h1_body *b, char c, struct amy__codec_fault *fault)
{
    int rc = 0;

    switch ((enum step)b->step) {
    case STEP_SIZE:
        return take_size(b, c, fault);
    case STEP_EXTENSION:
        return take_extension(b, c, fault);
    case STEP_SIZE_LF:
        return take_exact(b, c, '\n', b->left > 0 ? STEP_DATA : STEP_TRAILER,
                          fault);
    case STEP_DATA_CR:
        return take_exact(b, c, '\r', STEP_DATA_LF, fault);
    case STEP_DATA_LF:
        b->digits = 0;
        return take_exact(b, c, '\n', STEP_SIZE, fault);
    case STEP_TRAILER_LF:
        return take_exact(b, c, '\n', STEP_TRAILER, fault);
    case STEP_LAST_LF:
        rc = take_exact(b, c, '\n', STEP_SIZE, fault);
        b->done = rc == 0;
        return rc;
    case STEP_TRAILER:
    case STEP_TRAILER_NAME:
    case STEP_TRAILER_VALUE:
    case STEP_DATA: /* never: the caller takes it */
        break;
    }
    return take_trailer(b, c, fault);
}

/* Payload of at most b->left bytes. */
static size_t
take_data(struct amy__h1_body *b, struct amy__span in,
          struct amy__span *ret_data)
{
    size_t n = b->left < in.n ? (size_t)b->left : in.n;

    b->left -= n;
    *ret_data = (struct amy__span){in.p, n};
    return n;
}

static int64_t
take_chunked(struct amy__h1_body *b, struct amy__span in,
             struct amy__span *ret_data, struct amy__codec_fault *fault)
{
    size_t used = 0;

    while (used < in.n && !b->done) {
        if (b->step == STEP_DATA) {
            struct amy__span rest = {in.p + used, in.n - used};

            used += take_data(b, rest, ret_data);
            if (b->left == 0) {
                b->step = STEP_DATA_CR;
            }
            break;
        }
        int rc = take_framing(b, in.p[used], fault);

        if (rc < 0) {
            return rc;
        }
        used++;
    }
    return (int64_t)used;
}

int64_t
amy__h1_body_take(struct amy__h1_body *body, struct amy__span in,
                  struct amy__span *ret_data,
                  struct amy__codec_fault *ret_fault)
{
    *ret_data = (struct amy__span){in.p, 0};
    if (body->done) {
        return 0;
    }
    switch (body->kind) {
    case AMY__BODY_LENGTH: {
        size_t n = take_data(body, in, ret_data);

        body->done = body->left == 0;
        return (int64_t)n;
    }
    case AMY__BODY_CHUNKED:
        return take_chunked(body, in, ret_data, ret_fault);
    case AMY__BODY_UNTIL_CLOSE:
        *ret_data = in;
        return (int64_t)in.n;
    case AMY__BODY_NONE:
        break;
    }
    return 0;
}

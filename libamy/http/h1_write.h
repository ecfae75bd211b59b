/* Writing HTTP/1.1 messages. Each call appends all of it or nothing. */
#ifndef AMY_HTTP_H1_WRITE_H
#define AMY_HTTP_H1_WRITE_H

#include "core/buf.h"
#include "http/codec.h"

/* How the body of a message that we send is framed, and what is still owed. */
struct amy__h1_sender {
    enum amy__body_kind kind; /* NONE: what is sent is dropped */
    bool done;
    uint64_t left; /* with AMY__BODY_LENGTH */
};

/* The line that says what becomes of the connection. */
enum amy__h1_connection {
    AMY__H1_CONNECTION_SILENT = 0,
    AMY__H1_CONNECTION_CLOSE,
    AMY__H1_CONNECTION_KEEP,
    AMY__H1_CONNECTION_UPGRADE, /* to a WebSocket */
};

/* kind: what is told about the body; NONE and UNTIL_CLOSE write no length. */
int amy__h1_write_request(struct amy__buf *out,
                          const struct amy__request_head *head,
                          enum amy__body_kind kind, uint64_t length);
int amy__h1_write_answer(struct amy__buf *out,
                         const struct amy__answer_head *head,
                         enum amy__body_kind kind, uint64_t length,
                         enum amy__h1_connection connection);
/* 0; AMY_ESTATE: more than announced, or an end too early; AMY_ELIMIT,
 * AMY_ENOMEM. */
int amy__h1_write_body(struct amy__buf *out, struct amy__h1_sender *sender,
                       struct amy__span data, bool end);
/* n bytes go out past us. 0; AMY_ELIMIT: more than announced; AMY_ESTATE: an
 * end too early, or after the end; AMY_EUNSUPPORTED: not in this framing. */
int amy__h1_pass(struct amy__h1_sender *sender, uint64_t n, bool end);

#endif

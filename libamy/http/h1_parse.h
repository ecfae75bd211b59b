/* Heads of HTTP/1.1 messages (RFC 9112), from bytes that hold them whole.
 * Pure: no state between calls, nothing allocated but for folded lines. */
#ifndef AMY_HTTP_H1_PARSE_H
#define AMY_HTTP_H1_PARSE_H

#include "core/buf.h"
#include "http/authority.h"
#include "http/codec.h"

/* The big structs of the hot path are filled member by member; the compiler's
 * zeroing of four kilobytes of fields would cost more than the parsing. */
#define AMY__UNINITIALIZED __attribute__((uninitialized))

#define AMY__H1_MORE 1 /* the head goes on behind these bytes */

#define AMY__H1_METHOD_MAX 32

/* Read the request head at the start of data. 0: head is filled, *ret_used is
 * its length with the empty line; its spans point into data, host into *host.
 * AMY__H1_MORE: with *ret_used bytes there will be a verdict for sure;
 * AMY_EPROTO: the fault says why. The verdict about a prefix is
 * never changed by what follows it. */
int amy__h1_parse_request(struct amy__span data,
                          const struct amy__codec_limits *limits,
                          struct amy__request_head *ret_head,
                          struct amy__authority *ret_host, size_t *ret_used,
                          struct amy__codec_fault *ret_fault);

/* The same for an answer. to_head: it answers a HEAD request. Values of folded
 * lines (RFC 9112 5.2) are put together in *folds. */
int amy__h1_parse_answer(struct amy__span data,
                         const struct amy__codec_limits *limits, bool to_head,
                         struct amy__answer_head *ret_head,
                         struct amy__buf *folds, size_t *ret_used,
                         struct amy__codec_fault *ret_fault);

/* Limits with every zero replaced by its default. */
struct amy__codec_limits amy__h1_limits(const struct amy__codec_limits *limits,
                                        bool answers);

/* Record a fault; returns AMY_EPROTO so that callers can write return. */
int amy__h1_fault(struct amy__codec_fault *ret_fault, unsigned status,
                  const char *reason);

#endif

/* What holds for every request that a codec gives to its handler. */
#ifndef UPSTREAM_H
#define UPSTREAM_H

#include "http/codec.h"

/* A request has one length, or none. */
void fuzz_check_lengths(const struct amy__request_head *head);
/* Sent to a worker, the head is read back as the same request. */
void fuzz_check_upstream(const struct amy__request_head *head);

#endif

/* Socket addresses: parsing, printing, CIDR matching. No names are resolved. */
#ifndef AMY_NET_ADDRESS_H
#define AMY_NET_ADDRESS_H

#include <amy/error.h>

#include "core/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* IPv4, IPv6 or unix (then only length matters: the peer has no name). */
struct amy__address {
    socklen_t len;
    struct sockaddr_storage sa;
};

/* "127.0.0.1:80", "[::1]:443", ":8080" and "*:8080" (all addresses), "unix:…".
 */
int amy__address_parse(struct amy__span text, uint16_t default_port,
                       struct amy__address *ret, struct amy_error *err);
/* Without port: "192.0.2.7", "2001:db8::1" (v4-mapped shown as v4), "unix:". */
size_t amy__address_host(const struct amy__address *a, char *buf, size_t size);
uint16_t amy__address_port(const struct amy__address *a);
/* 127.0.0.0/8 or ::1: only this machine comes here. */
bool amy__address_is_loopback(const struct amy__address *a);

struct amy__cidr {
    uint8_t bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint8_t bits;      /* 0..128 */
};
int amy__cidr_parse(struct amy__span text, struct amy__cidr *ret,
                    struct amy_error *err);
bool amy__cidr_contains(const struct amy__cidr *cidr,
                        const struct amy__address *a);

#endif
